"""What pages are made of: forms from schemas, spans and times, the chart, and the text that finds a group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest
from hopyard import task
from hopyard.ledger.read.counting import EndedCount
from hopyard.specs import State
from hopyard.web.pages import chart, forms, writing
from pydantic import BaseModel


class Line(BaseModel):
    """A line of an order."""

    sku: str
    amount: int = 1


@task("shop.order")
async def order(
    text: str,
    amount: int = 3,
    price: float | None = None,
    kind: Literal["new", 'o"ld'] = "new",
    fast: bool = False,
    tags: list[str] = [],  # noqa: B006 - a task's default is stored with each job
    line: Line | None = None,
) -> None:
    """Take an order."""


def test_forms_have_a_field_for_each_argument() -> None:
    fields = {one.name: one for one in forms.fields(order.payload.schema())}
    kinds = {name: (one.kind, one.required, one.default) for name, one in fields.items()}
    assert kinds == {
        "text": ("string", True, ""),
        "amount": ("integer", False, "3"),
        "price": ("number", False, ""),
        "kind": ("choice", False, '"new"'),
        "fast": ("boolean", False, "false"),
        "tags": ("list", False, ""),
        "line": ("json", False, ""),
    }
    assert fields["kind"].choices == (('"new"', "new"), ('"o\\"ld"', 'o"ld'))
    assert forms.fields({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"$ref": "#/$defs/b"}}})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.42, "0.42 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_spans_are_short(seconds: float | None, text: str) -> None:
    assert writing.span(seconds).replace("\u202f", " ") == text


def test_times_are_times_and_what_is_none_stays_text() -> None:
    made = writing.when("2027-01-31T08:00:00+01:00")
    assert made == (
        '<time datetime="2027-01-31T07:00:00.000000Z" data-form="short">2027-01-31 07:00:00 UTC</time>'
    )
    assert writing.when("<soon>") == "&lt;soon&gt;"
    assert writing.timed("at 2027-01-31T08:00:00+00:00 <b>").endswith("UTC</time> &lt;b&gt;")


def test_the_chart_counts_what_ended_within_the_hour() -> None:
    now = datetime(2027, 1, 31, 8, 0, 30, tzinfo=UTC)

    def ended(minute: int, name: str, state: State, jobs: int) -> EndedCount:
        at = now.replace(hour=7, minute=minute, second=0)
        return EndedCount(at, f"{name}.x", name, state, jobs, jobs, 1.0, 2.0)

    made = chart.chart(
        [
            ended(30, "a", State.SUCCEEDED, 6),
            ended(30, "b", State.DEAD, 2),
            ended(0, "a", State.SUCCEEDED, 9),
        ],
        now,
    )
    assert (made.jobs, made.dead, made.top) == (8, 2, 10)
    column = next(one for one in made.columns if one.jobs)
    assert column.at == now.replace(hour=7, minute=30, second=0)
    assert [(block.colour, block.y, block.height) for block in column.blocks] == [
        ("s0", 40.0, 60.0),
        ("dead", 20.0, 20.0),
    ]
