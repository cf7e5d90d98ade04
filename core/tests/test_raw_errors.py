"""What is no argument of a call is refused at the call, by an error that says what was expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from engines import Lab
from hopyard import task
from hopyard.errors import HopyardError, PayloadError, SpecError
from hopyard.ledger.values import job_id
from hopyard.notifications import notify
from hopyard.specs import State, Unique

NAN = float("nan")
# Wrong on purpose: no type checker shall say so here.
FIVE: Any = 5
TEXT: Any = "5"
NOTHING: Any = None
FUNCTION: Any = print


class Leaving(tzinfo):
    """A zone whose code ends the process."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        raise SystemExit

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str:
        return "leaving"


CALLS: dict[str, tuple[Callable[[Lab], Any], str]] = {
    "args": (lambda lab: lab.hopyard.task("site.add").apply_async(5), "a list or a tuple"),
    "args text": (lambda lab: lab.hopyard.task("site.add").apply_async("ab"), "a list or a tuple"),
    "kwargs": (lambda lab: lab.hopyard.task("site.add").apply_async((), 5), "a mapping"),
    "many": (lambda lab: lab.hopyard.task("site.add").submit_many(NOTHING), "mappings of arguments"),
    "many 5": (lambda lab: lab.hopyard.task("site.add").submit_many([FIVE]), "by name in a mapping"),
    "handle": (lambda lab: lab.hopyard.handle(FIVE), "text of at most 500"),
    "task": (lambda lab: lab.hopyard.task(FIVE), "the name of a task"),
    "decorator": (lambda lab: task(FIVE), "text of at most 200"),
    "bare decorator": (lambda lab: task(FUNCTION), "text of at most 200"),
    "timeout": (lambda lab: lab.hopyard.handle("x").result(timeout=TEXT), "a number from 0"),
    "no time": (lambda lab: lab.hopyard.handle("x").result(timeout=NAN), "a number from 0"),
    "stream": (lambda lab: anext(lab.hopyard.handle("x").stream(every=TEXT)), "a number greater than 0"),
    "zone": (
        lambda lab: lab.hopyard.task("site.add").options(eta=datetime(2030, 1, 1, tzinfo=Leaving())),
        "expected one that works",
    ),
    "queue": (
        lambda lab: lab.hopyard.task("site.add").options(queue="sites").submit(a=1),
        "did you mean `site`",
    ),
    "celery queue": (
        lambda lab: lab.hopyard.task("site.add").apply_async((1,), queue="nowhere"),
        "a queue that a plugin declares",
    ),
    "notify id": (lambda lab: notify("ada", "title", "body", id=FIVE), "text of at most 500"),
    "notify title": (lambda lab: notify("ada", FIVE, "body"), "expected text"),
}


@pytest.mark.parametrize(("call", "expected"), CALLS.values(), ids=CALLS)
async def test_what_is_wrong_is_told(lab: Lab, call: Callable[[Lab], Any], expected: str) -> None:
    async def made() -> None:
        found = await asyncio.to_thread(call, lab)
        if hasattr(found, "__await__"):
            await found

    with pytest.raises(HopyardError, match=expected):
        await made()


ODD_KEYS: dict[str, tuple[dict[Any, Any], str]] = {
    "nan": ({NAN: 1}, "the key nan"),
    "infinity": ({"a": [{float("-inf"): 1}]}, "the key -inf"),
    "number and text": ({1: "a", "1": "b"}, "the key '1' is there twice"),
    "truth and text": ([{True: "a", "true": "b"}], "the key 'true' is there twice"),  # type: ignore[dict-item]
    "none and text": ({"x": {None: 1, "None": 2}}, "the key 'None' is there twice"),
}


@pytest.mark.parametrize(("value", "told"), ODD_KEYS.values(), ids=ODD_KEYS)
async def test_keys_that_json_cannot_say_are_refused(lab: Lab, value: Any, told: str) -> None:
    with pytest.raises(PayloadError, match=rf"site\.told: the arguments: .*{told}"):
        await lab.submit("site.told", about=value)
    payload = lab.hopyard.task("site.told").payload
    with pytest.raises(PayloadError, match=rf"site\.told: the result: .*{told}"):
        payload.dump_result(value)
    for right in ({"None": 1, "nan": 2, "inf": 3}, {1: "a", 2: "b"}, {"1": {"1": 10**600}}):
        assert payload.dump_result(right)


async def test_a_replaced_job_is_done_for_whom_the_last_call_says(lab: Lab) -> None:
    add = lab.hopyard.task("site.add")
    for kind in ("replace", "debounce"):
        unique = Unique(kind, kind)  # type: ignore[arg-type]
        first = await add.options(unique=unique, person="ada", priority=2).submit(a=1)
        second = await add.options(unique=unique, person="bob", priority=8).submit(a=2)
        row = await lab.row(first.id)
        assert second.id == first.id
        assert (row["person"], row["priority"], row["state"]) == ("bob", 8, State.QUEUED)


async def test_a_notifications_id_may_be_any_text(lab: Lab) -> None:
    for id_ in ("order-17", "bestellung 17 \u00e4", "x" * 500, job_id("order-18")):
        assert await notify("ada", "It is there", "Order 17 is there", id=id_) == job_id(id_)
        assert await notify("ada", "It is there", "Order 17 is there", id=id_) == job_id(id_)
    rows = await lab.ledger.database.fetch("SELECT id FROM notification")
    assert len(rows) == 4
    with pytest.raises(SpecError, match="notify: id"):
        await notify("ada", "t", "b", id="x" * 501)
