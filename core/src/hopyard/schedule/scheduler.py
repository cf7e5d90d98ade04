"""The scheduler: fires what is due, once per due time, however many schedulers run.

Firing inserts `schedule_fire(schedule, due)` and the job in the transaction that checks the leader's term, so
it cannot happen twice, whatever happens to clocks or leases.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hopyard import rules
from hopyard.broker import envelope
from hopyard.errors import HopyardError
from hopyard.ledger import cancelling, leader
from hopyard.ledger.values import NewJob, micros, new_id, utcnow
from hopyard.schedule import store
from hopyard.schedule.store import Stored
from hopyard.tasks import signals

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Connection
    from hopyard.specs import Schedule

log = logging.getLogger("hopyard.schedule")

DUTY: Final = "schedule"
_LEASE: Final = 8.0
_BATCH: Final = 200
#: Due times of one schedule that are made up for in one go.
_CATCH_UP: Final = 100
#: The longest sleep; a schedule that somebody adds meanwhile is late by at most so many seconds.
MAX_SLEEP: Final = 1.0
#: With the misfire policy `skip`, a due time this many seconds ago was not missed yet.
_PUNCTUAL: Final = 10.0


class Scheduler:
    """One per process that schedules; the one that leads fires."""

    def __init__(self, hopyard: Hopyard) -> None:
        self._hopyard = hopyard
        self._client = hopyard.client()
        self._database = self._client.database
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{new_id()[-6:]}"
        self._term: int | None = None

    async def tick(self) -> float:
        """Fire what is due, if this process leads; return the seconds until the next look.

        Raises nothing: a database that is away is logged and looked for again.
        """
        try:
            term = await leader.lead(self._database, DUTY, self._holder, _LEASE)
            if term is None:
                self._term = None
                return MAX_SLEEP
            moved = await self._hopyard.follow_switches(self._database)
            if moved.out or moved.back:
                self._term = None  # until the schedules of the plugins that are here now are declared
            if moved.back:
                await self._hopyard.check_migrations()
            if term != self._term:
                await self._declare()
                self._term = term
            while await self._fire(term) >= _BATCH:
                continue
            while await self._follow(term) >= _BATCH:
                continue
            async with self._database.transaction() as tx:
                due = await store.next_due(tx)
        except HopyardError as error:
            log.warning("scheduling waits: %s", error)
            return MAX_SLEEP
        if due is None:
            return MAX_SLEEP
        return min(MAX_SLEEP, max(0.01, (due - utcnow()).total_seconds()))

    async def resign(self) -> None:
        """Let another scheduler lead at once."""
        try:
            await leader.resign(self._database, DUTY, self._holder)
        except HopyardError as error:
            log.info("leadership ends by itself in %g s: %s", _LEASE, error)

    async def _declare(self) -> None:
        plugins = self._hopyard.plugins
        declared = {
            name: (schedule, "settings" if schedule.declared_by == "settings" else "plugin")
            for name, schedule in plugins.schedules.items()
        }
        async with self._database.transaction() as tx:
            await store.declare(tx, self._database.dialect, declared)
        log.info("this process schedules; %d schedules are declared", len(declared))
        for fault in plugins.warnings:
            log.warning("%s will never fire: found %s, expected %s", fault.key, fault.found, fault.expected)

    async def _fire(self, term: int) -> int:
        """Fire one batch in one transaction; return how many schedules were looked at."""
        d = self._database.dialect
        jobs: list[NewJob] = []
        async with self._database.transaction() as tx:
            if not await leader.leads(tx, d, DUTY, self._holder, term):
                self._term = None
                return 0
            found, now = await store.due(tx, d, _BATCH)
            if not found:
                return 0
            busy = await self._busy(tx, [s.schedule.name for s in found if s.schedule.overlap != "allow"])
            cancelled: list[str] = []
            steps: list[tuple[str, datetime | None, datetime | None]] = []
            fires: list[tuple[str, datetime, str | None]] = []
            for stored in found:
                try:
                    times, after = _due_times(stored, now)
                except (HopyardError, ValueError, ArithmeticError) as error:
                    await store.stop(tx, d, stored.schedule.name, error)
                    continue
                if self._hopyard.plugins.resting(stored.schedule.task):
                    times = []  # as of a schedule that is disabled: it is not made up for afterwards
                last = times[-1] if times else stored.last_due
                skipped: list[datetime] = []
                if stored.schedule.overlap == "skip" and stored.schedule.name in busy:
                    skipped, times = times, []
                    last = stored.last_due  # the one that still runs
                elif stored.schedule.overlap != "allow":
                    skipped, times = times[:-1], times[-1:]
                if stored.schedule.overlap == "cancel" and times and stored.schedule.name in busy:
                    cancelled.append(busy[stored.schedule.name])
                new = [self._job(stored, due) for due in times]
                fires += [(stored.schedule.name, due, None) for due in skipped]
                fires += [(stored.schedule.name, job.due, job.id) for job in new if job.due]
                jobs += new
                steps.append((stored.schedule.name, after, last))
            jobs = await self._insert(tx, fires, jobs)
            await tx.execute_many("UPDATE schedule SET next_due = $2, last_due = $3 WHERE name = $1", steps)
        if cancelled:
            await cancelling.cancel(self._database, cancelled, "its schedule was due again")
        await self._client.announce(jobs)
        return len(found)

    async def _follow(self, term: int) -> int:
        """Fire what follows jobs that have succeeded; return how many were looked at."""
        d = self._database.dialect
        async with self._database.transaction() as tx:
            if not await leader.leads(tx, d, DUTY, self._holder, term):
                self._term = None
                return 0
            ended = await store.ended(tx, _BATCH)
            if not ended:
                return 0
            found = await store.followed(tx, self._database, ended)
            found = [one for one in found if not self._hopyard.plugins.resting(one[0].schedule.task)]
            await store.look_no_more(tx, ended)
            jobs = [self._job(stored, due) for stored, due in found]
            fires = [(job.schedule or "", due, job.id) for job, (_, due) in zip(jobs, found, strict=True)]
            jobs = await self._insert(tx, fires, jobs)
            await tx.execute_many(
                "UPDATE schedule SET last_due = $2 WHERE name = $1",
                [(stored.schedule.name, due) for stored, due in found],
            )
        await self._client.announce(jobs)
        return len(ended)

    async def _insert(
        self, tx: Connection, fires: Sequence[tuple[str, datetime, str | None]], jobs: Sequence[NewJob]
    ) -> list[NewJob]:
        """Store fires and jobs; a due time that fired before fires nothing."""
        d = self._database.dialect
        if d.name == "sqlite":
            source = (
                f"SELECT value ->> 0, value ->> 1, value ->> 2, {d.now}, value ->> 2 IS NOT NULL "
                "FROM json_each($1) WHERE true"
            )
        else:
            source = (
                f"SELECT e ->> 0, (e ->> 1)::timestamptz, (e ->> 2)::uuid, {d.now}, e ->> 2 IS NOT NULL "
                "FROM jsonb_array_elements($1::jsonb) AS e"
            )
        rows = [
            (name, micros(due) if d.name == "sqlite" else due.isoformat(), id_) for name, due, id_ in fires
        ]
        ours = await tx.fetch(
            f"INSERT INTO schedule_fire (schedule, due, job_id, fired, pending) {source} "
            "ON CONFLICT DO NOTHING RETURNING job_id",
            json.dumps(rows),
        )
        kept = {str(row["job_id"]) for row in ours}
        new = signals.before_publish([job for job in jobs if job.id in kept])
        if new:
            signals.after_publish(new, await tx.insert_jobs(new))
        return [*new]

    async def _busy(self, tx: Connection, names: Sequence[str]) -> dict[str, str]:
        """Return, by schedule, the earlier job that is still live."""
        if not names:
            return {}
        d = self._database.dialect
        rows = await tx.fetch(
            "SELECT s.name, j.id FROM schedule s "
            "JOIN schedule_fire f ON f.schedule = s.name AND f.due = s.last_due "
            f"JOIN job_live j ON j.id = f.job_id WHERE s.name {d.texts('$1')}",
            self._database.list(names),
        )
        return {row["name"]: str(row["id"]) for row in rows}

    def _job(self, stored: Stored, due: datetime) -> NewJob:
        return fired_job(self._hopyard, stored.schedule, due, stored.person)


def fired_job(hopyard: Hopyard, schedule: Schedule, due: datetime, person: str | None) -> NewJob:
    """Return the job that a schedule makes when it fires for a due time."""
    options = hopyard.plugins.options.get(schedule.task)
    kwargs: dict[str, Any] = dict(schedule.kwargs)
    return NewJob(
        id=new_id(),
        task=schedule.task,
        queue=options.queue if options else schedule.task.split(".", 1)[0],
        priority=options.priority if options else 5,
        body=envelope.body((), kwargs),
        headers="",
        schedule=schedule.name,
        due=due,
        person=person,
    )


def _due_times(stored: Stored, now: datetime) -> tuple[list[datetime], datetime | None]:
    """Return the due times to fire, by the misfire policy, and the next one after now."""
    schedule = stored.schedule
    assert stored.next_due is not None  # noqa: S101 - it was found by it
    first, oldest = stored.next_due, now - schedule.catch_up
    start = max(first, oldest)
    times = [first] if first >= oldest else []
    if schedule.misfire == "all":
        found = rules.between(schedule.rule, start, now, _CATCH_UP)
        times += found
        return times, rules.next_after(schedule.rule, now if len(found) < _CATCH_UP else found[-1])
    last = rules.last_between(schedule.rule, start, now)
    times = [last] if last is not None else times
    if schedule.misfire == "skip":
        times = [due for due in times if (now - due).total_seconds() < _PUNCTUAL]
    return times, rules.next_after(schedule.rule, now)
