"""Schedules that a plugin keeps for people, in the ledger, and the times of their rules.

Each function takes `tx`, a transaction of `hopyard.storage`, to change a schedule together with the plugin's
own rows; without it, it has a transaction of its own. What a plugin declares in `register_schedules` is not
changed by these, except as a person's edit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from hopyard import rules, storage
from hopyard.ledger.values import utcnow
from hopyard.rules import check_rrule, describe, next_after, upcoming, zone_of
from hopyard.rules import from_json as rule_from_json
from hopyard.rules import last as last_due
from hopyard.rules import to_json as rule_to_json
from hopyard.schedule import store
from hopyard.schedule.store import Stored
from hopyard.specs import Rule, Schedule

__all__ = [
    "Stored",
    "check_rrule",
    "delete",
    "describe",
    "edit",
    "existing",
    "get",
    "last_due",
    "listed",
    "next_after",
    "preview",
    "put",
    "rule_from_json",
    "rule_to_json",
    "upcoming",
    "zone_of",
]


@asynccontextmanager
async def _within(tx: storage.Transaction | None) -> AsyncIterator[storage.Transaction]:
    if tx is not None:
        yield tx
        return
    async with storage.transaction() as own:
        yield own


async def put(
    schedule: Schedule, *, person: str | None = None, tx: storage.Transaction | None = None
) -> datetime | None:
    """Store a schedule, new or changed, for a person; return its next due time.

    Raises `ScheduleError` if its rule will never be due, or waits for itself.
    """
    async with _within(tx) as own:
        return await store.put(own.connection, own.sql, schedule, person=person)


async def get(name: str, *, tx: storage.Transaction | None = None) -> Stored:
    """Return a schedule. Raises `ScheduleError`, with the nearest name, if there is none."""
    async with _within(tx) as own:
        return await store.get(own.connection, name)


async def edit(name: str, *, tx: storage.Transaction | None = None, **changes: Any) -> Stored:
    """Change fields of a schedule (`rule`, `kwargs`, `enabled`, `misfire` …); return it.

    Enabled again it goes on from now. Raises `ScheduleError` for an unknown name or a rule that is none.
    """
    async with _within(tx) as own:
        return await store.edit(own.connection, own.sql, name, **changes)


async def delete(name: str, *, missing_ok: bool = False, tx: storage.Transaction | None = None) -> None:
    """Remove a person's schedule; a declared one is disabled instead.

    Raises `ScheduleError` if there is none, unless `missing_ok`.
    """
    async with _within(tx) as own:
        if missing_ok and not await store.exists(own.connection, name):
            return
        await store.delete(own.connection, own.sql, name)


async def existing(names: Iterable[str], *, tx: storage.Transaction | None = None) -> set[str]:
    """Return those of the names that are schedules."""
    async with _within(tx) as own:
        return await store.existing(own.connection, own.sql, storage.listed(names))


async def listed(
    owner: str | None = None, *, limit: int = 1000, tx: storage.Transaction | None = None
) -> list[Stored]:
    """Return schedules by name; with `owner` those whose names begin with that plugin's name and a dot."""
    async with _within(tx) as own:
        return await store.listed(own.connection, limit, owner=owner)


def preview(rule: Rule, count: int = 5, *, after: datetime | None = None) -> Sequence[datetime]:
    """Return the next due times of a rule, in UTC, at most `count`; from now unless `after` is given."""
    return rules.upcoming(rule, after or utcnow(), count)
