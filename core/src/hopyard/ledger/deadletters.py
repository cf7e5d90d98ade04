"""Dead letters: jobs that ended dead are kept until somebody replays or discards them.

A terminal row never changes: a replay is a new job with `replay_of`, and its id follows from the dead one's,
so that replaying the same job twice gives the same new job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hopyard import checks
from hopyard.errors import InvalidInput, LedgerError, UnknownJob
from hopyard.ledger import stored
from hopyard.ledger.database import Connection, Database, Row
from hopyard.ledger.read import summary, tail
from hopyard.ledger.retention import OF_A_JOB
from hopyard.ledger.values import MARK, NewJob, derived_id, job_id, renamed, utcnow
from hopyard.specs import State

#: Rows that one transaction replays or discards.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead jobs are meant.

    `error` is a text in the error's line, as lists show it, to the letter; `older` is in seconds since the
    end.
    """

    ids: Sequence[str] = ()
    task: str | None = None
    queue: str | None = None
    error: str | None = None
    older: float | None = None
    after: str | None = None
    """Only ids after this one: where the batch before ended."""

    def where(self, database: Database) -> tuple[str, list[Any]]:
        """Return a condition on `job_history`, and its parameters."""
        conditions, values = [f"state = {State.DEAD:d}"], list[Any]()

        def add(condition: str, value: Any) -> None:
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))

        if self.ids:
            add("id " + database.dialect.ids("{}"), database.list([job_id(id_) for id_ in self.ids]))
        if self.task is not None:
            add("task = {}", self.task)
        if self.queue is not None:
            add("queue = {}", self.queue)
        if self.error is not None:
            add(summary.error_has(database.dialect, "{}"), stored.within(self.error))
        if self.older is not None:
            add("finished < {}", utcnow() - timedelta(seconds=self.older))
        if self.after is not None:
            add("id > {}", job_id(self.after))
        return " AND ".join(conditions), values


class Replays(dict[str, NewJob]):
    """The new job of each dead one, by its id; `new` are the dead ones that were not replayed before."""

    new: Collection[str] = ()


async def replay(
    database: Database,
    wanted: Filter,
    edits: Mapping[str, Any] | None = None,
    limit: int = BATCH,
    check: Callable[[str, str], None] | None = None,
) -> Replays:
    """Submit dead jobs again, `edits` over their arguments; return the new job of each.

    `check(task, body)` raises for edited arguments that the task does not take: then nothing is submitted.

    One batch, in the order of ids; go on `after` the last. One that was replayed before gives its earlier
    replay and changes nothing. Their outbox entries are written; the caller messages. Raises `UnknownJob` if
    ids were given and none of them is dead, `LedgerError` for arguments that cannot be edited, `PayloadError`
    for edits that JSON cannot say, `InvalidInput` for edits of one that was replayed before.
    """
    where, values = wanted.where(database)
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT id, task, queue, priority, body, headers, person, root, parent, job_group, linked "
            f"FROM job_history WHERE {where} ORDER BY id LIMIT {int(limit)}",
            *values,
        )
        _found(wanted, rows)
        jobs = Replays({str(row["id"]): _again(row, edits or {}) for row in rows})
        if edits and check is not None:
            for job in jobs.values():
                check(job.task, job.body)
        stored_now = await tx.insert_jobs([*jobs.values()]) if jobs else set()
        jobs.new = [old for old, job in jobs.items() if job.id in stored_now]
        if edits and len(jobs.new) < len(jobs):
            old, job = next((old, job) for old, job in jobs.items() if job.id not in stored_now)
            raise InvalidInput(f"job {old} was replayed before, as job {job.id}: nothing is changed of that")
    return jobs


def _again(row: Row, edits: Mapping[str, Any]) -> NewJob:
    old = str(row["id"])
    id_ = derived_id(old, "replay")
    return NewJob(
        id=id_,
        task=row["task"],
        queue=row["queue"],
        priority=row["priority"],
        body=_edited(old, row["body"], edits) if edits else row["body"],
        headers=renamed(row["headers"], id_, retries=0, **{MARK: 1}),
        parent=str(row["parent"]) if row["parent"] else None,
        root=str(row["root"]) if row["root"] else None,
        person=row["person"],
        replay_of=old,
        job_group=str(row["job_group"]) if row["job_group"] else None,
        linked=bool(row["linked"]),
    )


def _edited(id_: str, body: str, edits: Mapping[str, Any]) -> str:
    try:
        args, kwargs, embed = json.loads(body)
        return checks.json_text([args, kwargs | edits, embed], "the arguments")
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(f"the arguments of job {id_} cannot be edited: {error}") from error


async def discard(database: Database, wanted: Filter, limit: int = BATCH) -> int:
    """Remove dead jobs for good; return how many. Raises as `replay`."""
    where, values = wanted.where(database)
    async with database.transaction() as tx:
        rows = await tx.fetch(f"SELECT id FROM job_history WHERE {where} LIMIT {int(limit)}", *values)
        _found(wanted, rows)
        ids = [str(row["id"]) for row in rows]
        await _remove(tx, database, ids)
        if ids:
            await tail.note(tx, database, ids)
    return len(rows)


async def _remove(tx: Connection, database: Database, ids: Sequence[str]) -> None:
    d, some = database.dialect, database.list(ids)
    for table in OF_A_JOB:
        await tx.execute(f"DELETE FROM {table} WHERE job_id {d.ids('$1')}", some)
    await tx.execute(f"DELETE FROM job_history WHERE id {d.ids('$1')}", some)


def _found(wanted: Filter, rows: Sequence[Row]) -> None:
    if wanted.ids and not rows and wanted.after is None:
        raise UnknownJob(f"none of these jobs is dead: {', '.join(wanted.ids)}")
