"""Changing schedules over HTTP: rules that are over, and what is said of summer time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hopyard.schedule import store
from hopyard.specs import Rule, Schedule

pytest.importorskip("fastapi")

from hopyard.web.api.schedules import _due

if TYPE_CHECKING:
    from web_lab import Web


@pytest.mark.parametrize(
    "change",
    [{"rrule": "FREQ=DAILY;UNTIL=19990101T000000Z"}, {"zone": ""}, {"every": 60, "evry": 60}, {"cron": ""}],
)
async def test_a_change_that_means_nothing_leaves_the_schedule_as_it_is(
    web: Web, change: dict[str, Any]
) -> None:
    declared = Schedule("site.hourly", "site.add", Rule(every=3600.0), kwargs={"a": 1})
    async with web.ledger.database.transaction() as tx:
        await store.put(tx, web.ledger.database.dialect, declared)
    before = (await web.ask("GET", "/api/schedules/site.hourly")).json()
    assert (await web.ask("PATCH", "/api/schedules/site.hourly", json=change)).status_code == 422
    after = (await web.ask("GET", "/api/schedules/site.hourly")).json()
    assert (after["when"], after["enabled"]) == (before["when"], before["enabled"])


@pytest.mark.parametrize(
    ("zone", "summer"),
    [("Europe/Dublin", 7), ("Europe/Oslo", 7), ("America/Santiago", 1), ("UTC", None), ("Asia/Tokyo", None)],
)
def test_summer_is_when_the_clocks_are_ahead(zone: str, summer: int | None) -> None:
    months = [month for month in (1, 7) if _due(datetime(2027, month, 15, 12, tzinfo=UTC), zone).dst]
    assert months == ([] if summer is None else [summer])
