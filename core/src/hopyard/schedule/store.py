"""Schedules in the ledger: what plugins and settings declare, what people add and change.

A schedule's effective values are the person's edit over the settings over the plugin; the layers are stored
apart, so that an edit survives an upgrade of the plugin and can be taken back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from hopyard import current, rules
from hopyard.errors import LedgerError, ScheduleError
from hopyard.ledger import set_aside
from hopyard.ledger.database import Connection, Database, Row
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import moment, utcnow
from hopyard.specs import Rule, Schedule, State

log = logging.getLogger("hopyard.schedule")

_COLUMNS = (
    "name, source, task, declared, edited, rule, follows, kwargs, misfire, overlap, catch_up, enabled, "
    "person, next_due, last_due"
)


class Stored(NamedTuple):
    """A schedule as it stands in the ledger."""

    schedule: Schedule
    source: str
    person: str | None
    next_due: datetime | None
    last_due: datetime | None
    edited: bool


def to_json(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON-like values."""
    values = {field.name: getattr(schedule, field.name) for field in fields(Schedule)}
    values["rule"] = rules.to_json(schedule.rule)
    values["catch_up"] = schedule.catch_up.total_seconds()
    values["kwargs"] = dict(schedule.kwargs)
    return values


def from_json(values: Mapping[str, Any]) -> Schedule:
    """Return a schedule from `to_json`'s values."""
    return Schedule(
        **{
            **values,
            "rule": rules.from_json(values["rule"]),
            "catch_up": timedelta(seconds=values["catch_up"]),
        }
    )


def _stored(row: Row) -> Stored:
    schedule = Schedule(
        name=row["name"],
        task=row["task"],
        rule=rules.from_json(json.loads(row["rule"])),
        kwargs=json.loads(row["kwargs"]),
        misfire=row["misfire"],
        overlap=row["overlap"],
        catch_up=timedelta(seconds=row["catch_up"]),
        enabled=bool(row["enabled"]),
    )
    return Stored(
        schedule,
        row["source"],
        row["person"],
        moment(row["next_due"]),
        moment(row["last_due"]),
        row["edited"] is not None and row["source"] != "user",
    )


async def put(
    tx: Connection, d: Dialect, schedule: Schedule, *, person: str | None = None
) -> datetime | None:
    """Store a person's own schedule, new or changed; return its next due time.

    Raises `ScheduleError` if the rule is none, or will never be due.
    """
    schedule = replace(schedule, rule=_resolved(schedule.rule))
    first = rules.next_after(schedule.rule, utcnow())
    if schedule.rule.after is not None:
        await _check_circle(tx, schedule.name, schedule.rule.after)
    elif first is None:
        raise ScheduleError(
            f"schedule {schedule.name} will never be due: {rules.describe(schedule.rule)} has passed"
        )
    await _write(tx, d, schedule, "user", person, None, json.dumps(to_json(schedule)), first)
    return first if schedule.enabled else None


def _resolved(rule: Rule) -> Rule:
    """Return a rule with a zone: the installation's if it has none."""
    return rule.resolved(rule.zone or _zone())


def _zone() -> str:
    zone: str = current.get().settings.time_zone
    return zone


async def _check_circle(tx: Connection, name: str, after: str) -> None:
    """Raise `ScheduleError` if the schedule that `name` is to follow follows `name` itself.

    One that is not there is no fault: it may be added later.
    """
    path = [name, after]
    while True:
        rows = await tx.fetch("SELECT follows FROM schedule WHERE name = $1", path[-1])
        if not rows or rows[0]["follows"] is None:
            return
        path.append(rows[0]["follows"])
        if path[-1] == name:
            raise ScheduleError(f"schedules that wait for each other never fire: {' → '.join(path)}")
        if path[-1] in path[:-1]:  # a circle of others, which it would wait for in vain
            raise ScheduleError(f"{after} never fires: {' → '.join(path[1:])} wait for each other")


async def _write(
    tx: Connection,
    d: Dialect,
    schedule: Schedule,
    source: str,
    person: str | None,
    declared: str | None,
    edited: str | None,
    due: datetime | None,
) -> None:
    await tx.execute(
        f"INSERT INTO schedule ({_COLUMNS}, updated) "
        f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULL, {d.now}) "
        "ON CONFLICT (name) DO UPDATE SET source = excluded.source, task = excluded.task, "
        "declared = excluded.declared, edited = excluded.edited, rule = excluded.rule, "
        "follows = excluded.follows, "
        "kwargs = excluded.kwargs, misfire = excluded.misfire, overlap = excluded.overlap, "
        "catch_up = excluded.catch_up, enabled = excluded.enabled, person = excluded.person, "
        "next_due = excluded.next_due, updated = excluded.updated",
        schedule.name,
        source,
        schedule.task,
        declared,
        edited,
        json.dumps(rules.to_json(schedule.rule)),
        schedule.rule.after if schedule.enabled else None,
        json.dumps(dict(schedule.kwargs)),
        schedule.misfire,
        schedule.overlap,
        schedule.catch_up.total_seconds(),
        schedule.enabled,
        person,
        due if schedule.enabled else None,
    )


async def get(tx: Connection, name: str) -> Stored:
    """Return one schedule. Raises `ScheduleError` if there is none of that name."""
    rows = await tx.fetch(f"SELECT {_COLUMNS} FROM schedule WHERE name = $1", name)
    if not rows:
        names = await tx.fetch("SELECT name FROM schedule")
        from difflib import get_close_matches

        near = get_close_matches(name, [row["name"] for row in names], 1)
        raise ScheduleError(
            f"there is no schedule `{name}`" + (f"; did you mean `{near[0]}`?" if near else "")
        )
    return _stored(rows[0])


async def exists(tx: Connection, name: str) -> bool:
    """Whether there is a schedule of this name."""
    return bool(await tx.fetch("SELECT 1 AS found FROM schedule WHERE name = $1", name))


async def existing(tx: Connection, d: Dialect, names: Any) -> set[str]:
    """Return those of the names (as `Database.list` gives them) that are schedules."""
    rows = await tx.fetch(f"SELECT name FROM schedule WHERE name {d.texts('$1')}", names)
    return {row["name"] for row in rows}


async def listed(tx: Connection, limit: int = 1000, *, owner: str | None = None) -> list[Stored]:
    """Return schedules by name. One that cannot be read is left out: `hopyard doctor` tells of it.

    With `owner` only those whose names begin with that plugin's name and a dot.
    """
    found = []
    where = f"WHERE substr(name, 1, {len(owner) + 1}) = $2" if owner else ""
    statement = f"SELECT {_COLUMNS} FROM schedule {where} ORDER BY name LIMIT $1"
    for row in await tx.fetch(statement, limit, *([f"{owner}."] if owner else ())):
        try:
            found.append(_stored(row))
        except Exception as error:  # noqa: BLE001 - logged: the others can be shown
            log.error("schedule %s cannot be read: %s: %s", row["name"], type(error).__name__, error)
    return found


async def edit(tx: Connection, d: Dialect, name: str, **changes: Any) -> Stored:
    """Change fields of a schedule (`rule`, `kwargs`, `enabled`, `misfire` …) as a person's edit.

    Raises `ScheduleError` for an unknown name or a rule that is none.
    """
    stored = await get(tx, name)
    if "rule" in changes:  # what an edit does not name stays
        changes["rule"] = changes["rule"].resolved(stored.schedule.rule.zone or _zone())
        if changes["rule"].after is not None:
            await _check_circle(tx, name, changes["rule"].after)
    new = replace(stored.schedule, **changes)
    rows = await tx.fetch("SELECT declared, edited FROM schedule WHERE name = $1", name)
    edits = json.loads(rows[0]["edited"] or "{}")
    values = to_json(new)
    edits |= {field: values[field] for field in changes}
    # A changed rule counts from now; enabling again does not make up for the time in between.
    due = rules.next_after(new.rule, utcnow())
    await _write(tx, d, new, stored.source, stored.person, rows[0]["declared"], json.dumps(edits), due)
    return await get(tx, name)


async def delete(tx: Connection, d: Dialect, name: str) -> None:
    """Remove a person's schedule; a declared one is disabled instead. Raises `ScheduleError`."""
    stored = await get(tx, name)
    if stored.source == "user":
        await tx.execute("DELETE FROM schedule WHERE name = $1", name)
    else:
        await edit(tx, d, name, enabled=False)


async def stop(tx: Connection, d: Dialect, name: str, error: Exception) -> None:
    """Take a schedule out that cannot be dealt with; all others go on, and `hopyard doctor` tells of it.

    It goes on when it is declared or edited anew.
    """
    reason = f"schedule {name} stands still: {type(error).__name__}: {error}"
    log.error("%s", reason)
    await tx.execute("UPDATE schedule SET next_due = NULL, follows = NULL WHERE name = $1", name)
    await set_aside.add(tx, d.now, [set_aside.SetAside("schedule", name, reason)])


async def _readable(tx: Connection, d: Dialect, rows: Sequence[Row]) -> list[tuple[Stored, Row]]:
    """Return what can be read of rows; schedules that cannot are stopped."""
    found = []
    for row in rows:
        try:
            stored = _stored(row)
            found.append((stored, row))
        except Exception as error:  # noqa: BLE001 - logged and kept: one schedule must not stop the others
            await stop(tx, d, row["name"], error)
    return found


async def declare(tx: Connection, d: Dialect, schedules: Mapping[str, tuple[Schedule, str]]) -> None:
    """Bring the declared schedules up to date: name to (schedule, `plugin` or `settings`).

    One that is no longer declared stops, and goes on when it is declared again.
    """
    rows = await tx.fetch(f"SELECT {_COLUMNS} FROM schedule WHERE source <> 'user'")
    there = {row["name"]: row for row in rows}
    for name, (schedule, source) in schedules.items():
        try:
            await _declare(tx, d, schedule, source, there.get(name))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - logged and kept: one schedule must not stop the others
            await stop(tx, d, name, error)
    gone = [name for name, row in there.items() if name not in schedules and row["declared"] is not None]
    await tx.execute_many(
        "UPDATE schedule SET declared = NULL, enabled = false, next_due = NULL, follows = NULL "
        "WHERE name = $1",
        [(name,) for name in gone],
    )


async def _declare(tx: Connection, d: Dialect, schedule: Schedule, source: str, row: Row | None) -> None:
    text = json.dumps(to_json(schedule), sort_keys=True)
    if row is not None and row["declared"] == text:
        return
    edited = row["edited"] if row is not None else None
    effective = from_json(to_json(schedule) | (json.loads(edited) if edited else {}))
    due = rules.next_after(effective.rule, utcnow())
    await _write(tx, d, effective, source, None, text, edited, due)
    await tx.execute("DELETE FROM set_aside WHERE kind = 'schedule' AND target = $1", schedule.name)


async def due(tx: Connection, d: Dialect, limit: int) -> tuple[list[Stored], datetime]:
    """Return the schedules whose next due time has come, and the ledger's time by which that was so.

    The scheduler goes on by that time: its own clock may be wrong, and would fire what is not due yet.
    """
    rows: Sequence[Row] = await tx.fetch(
        f"SELECT {_COLUMNS}, {d.now} AS now FROM schedule WHERE next_due <= {d.now} "
        "ORDER BY next_due LIMIT $1",
        limit,
    )
    now = moment(rows[0]["now"]) if rows else None
    return [stored for stored, _ in await _readable(tx, d, rows)], now or utcnow()


ENDED: Final = (
    "SELECT f.schedule, f.due, f.job_id FROM schedule_fire f WHERE f.pending "
    "AND f.schedule IN (SELECT follows FROM schedule WHERE follows IS NOT NULL) "
    "AND NOT EXISTS (SELECT 1 FROM job_live j WHERE j.id = f.job_id) ORDER BY f.due LIMIT $1"
)


class Fire(NamedTuple):
    """A due time for which a schedule's job was stored."""

    schedule: str
    due: datetime
    job: str


async def ended(tx: Connection, limit: int) -> list[Fire]:
    """Return fires whose job is over, of schedules that others follow, which nobody has looked at yet."""
    rows = await tx.fetch(ENDED, limit)
    return [
        Fire(row["schedule"], due, str(row["job_id"]))
        for row in rows
        if (due := moment(row["due"])) is not None
    ]


async def followed(
    tx: Connection, database: Database, fires: Sequence[Fire]
) -> list[tuple[Stored, datetime]]:
    """Return the schedules that fire now because the job of one of `fires` has succeeded, with its due time.

    Counted are successes since the follower was stored or changed, in any order, each once.
    """
    d = database.dialect
    columns = ", ".join(f"s.{column.strip()}" for column in _COLUMNS.split(","))
    rows = await tx.fetch(
        f"SELECT {columns}, h.due AS due FROM job_history h JOIN schedule s ON s.follows = h.schedule "
        f"WHERE h.id {d.ids('$1')} AND h.state = {State.SUCCEEDED:d} AND h.finished >= s.updated "
        f"AND {d.plus('h.due', 's.catch_up')} > {d.now} AND NOT EXISTS ("
        "SELECT 1 FROM schedule_fire g WHERE g.schedule = s.name AND g.due = h.due) ORDER BY h.due",
        database.list([fire.job for fire in fires]),
    )
    return [
        (stored, due)
        for stored, row in await _readable(tx, d, rows)
        if (due := moment(row["due"])) is not None
    ]


async def look_no_more(tx: Connection, fires: Sequence[Fire]) -> None:
    """Say that these fires were looked at for the schedules that follow."""
    await tx.execute_many(
        "UPDATE schedule_fire SET pending = false WHERE schedule = $1 AND due = $2",
        [(fire.schedule, fire.due) for fire in fires],
    )


async def next_due(tx: Connection) -> datetime | None:
    """Return the earliest next due time of all."""
    rows = await tx.fetch("SELECT min(next_due) AS due FROM schedule WHERE next_due IS NOT NULL")
    return moment(rows[0]["due"])
