"""Options of a single call: right, or refused at the call, by Hopyard's own way and by Celery's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from engines import Lab
from hopyard import portal
from hopyard.errors import HopyardError, PayloadError, SpecError
from hopyard.ledger.database import Row
from hopyard.ledger.values import moment
from hopyard.specs import State, Unique


@pytest.fixture
async def made(lab: Lab) -> AsyncIterator[Lab]:
    """An installation whose plain calls' connections are closed in the end."""
    yield lab
    portal.run(lab.hopyard.close(), within_loop=True)


async def row(lab: Lab, id_: str) -> Row:
    (found,) = await lab.hopyard.client().database.fetch("SELECT * FROM job_live WHERE id = $1", id_)
    return found


WRONG = [
    {"priority": 10},
    {"priority": 255},
    {"priority": -1},
    {"priority": "5"},
    {"priority": 5.0},
    {"priority": True},
    {"eta": "2030-01-01T00:00:00"},
    {"eta": 1795000000},
    {"eta": datetime(9999, 1, 1)},
    {"eta": datetime(1, 1, 1, tzinfo=UTC)},
    {"queue": ""},
    {"queue": "a b"},
    {"queue": "\0"},
    {"queue": 5},
]


@pytest.mark.parametrize(
    "options",
    [
        *WRONG,
        {"delay": "5"},
        {"delay": float("nan")},
        {"delay": 1e300},
        {"delay": timedelta.max},
        {"delay": 1, "eta": datetime(2030, 1, 1)},
        {"id": ""},
        {"id": 5},
        {"id": "\ud800"},
        {"person": "a\0b"},
        {"person": 7},
        {"unique": 5},
        {"unique": ""},
    ],
)
def test_an_option_that_is_none_is_refused_at_the_call(lab: Lab, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"site\.add|unique"):
        lab.hopyard.task("site.add").options(**options)


@pytest.mark.parametrize("options", [*WRONG, {"countdown": "5"}, {"countdown": float("inf")}])
def test_celerys_options_are_refused_as_well(lab: Lab, options: dict[str, Any]) -> None:
    with pytest.raises(HopyardError):
        lab.hopyard.task("site.add").apply_async((1,), **options)
    with pytest.raises(HopyardError):
        lab.hopyard.celery.send_task("site.add", (1,), **options)


async def test_priority_0_is_a_priority(made: Lab) -> None:
    lab = made
    added = lab.hopyard.task("site.add")
    assert (await row(lab, added.apply_async((1,), priority=0).id))["priority"] == 0
    assert (await row(lab, (await added.options(priority=0).submit(1)).id))["priority"] == 0
    assert (await row(lab, added.apply_async((1,)).id))["priority"] == 5


async def test_an_eta_without_a_zone_is_in_the_configured_one(
    made: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = made
    monkeypatch.setattr(
        lab.hopyard, "settings", lab.hopyard.settings.model_copy(update={"time_zone": "Asia/Tokyo"})
    )
    wall = datetime(2040, 1, 1, 8, 30)
    expected = wall.replace(tzinfo=ZoneInfo("Asia/Tokyo"))
    added = lab.hopyard.task("site.add")
    own = await row(lab, (await added.options(eta=wall).submit(1)).id)
    celerys = await row(lab, added.apply_async((1,), eta=wall).id)
    assert (own["state"], moment(own["eta"])) == (State.SCHEDULED, expected)
    assert moment(celerys["eta"]) == expected


async def test_an_argument_list_that_is_none_is_refused(lab: Lab) -> None:
    with pytest.raises(PayloadError, match="mapping"):
        await lab.hopyard.task("site.add").submit_many([{"a": 1}, 5])  # type: ignore[list-item]


async def test_a_key_belongs_to_its_task_unless_it_is_shared(lab: Lab) -> None:
    one, other = lab.hopyard.task("site.add"), lab.hopyard.task("site.typed")
    first = await one.options(unique=Unique("k", "replace")).submit(1)
    second = await other.options(unique=Unique("k", "replace")).submit(n=7)
    again = await one.options(unique=Unique("k", "replace")).submit(2)
    assert first.id == again.id != second.id
    assert '"a": 2' in (await row(lab, first.id))["body"].replace('"a":2', '"a": 2')
    assert (await row(lab, second.id))["task"] == "site.typed"


@pytest.mark.parametrize("mode", ["replace", "debounce"])
async def test_a_shared_key_never_gives_a_job_the_arguments_of_another_task(lab: Lab, mode: Any) -> None:
    one, other = lab.hopyard.task("site.add"), lab.hopyard.task("site.typed")
    first = await one.options(unique=Unique("k", shared=True)).submit(1)
    refused = await other.options(unique=Unique("k", shared=True)).submit(n=7)
    assert refused.id == first.id
    beside = await other.options(unique=Unique("k", mode, shared=True)).submit(n=7)
    assert beside.id != first.id
    assert "7" not in (await row(lab, first.id))["body"]
