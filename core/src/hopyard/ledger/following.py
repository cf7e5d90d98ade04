"""What follows a job: the next one of its chain, its links, and the body of a chord once all parts are there.

A job that has any carries `linked`. When it ends, however it ends, the same transaction leaves a mark in
`job_follow`; whoever takes the mark away stores what follows, in one transaction as well, so that each
follower is stored exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hopyard.ledger.columns import INSERTED
from hopyard.ledger.database import Connection, Database
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import NewJob, derived_id
from hopyard.specs import State

#: Rows of `job_part` that are no part, by their place.
_SHAPE: Final = -1
_FAILED: Final = -2
_PART: Final = (
    "INSERT INTO job_part (group_id, member, n, result) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)


class FinishedJob(NamedTuple):
    """A linked job that is over."""

    id: str
    state: State
    result: str | None
    body: str
    headers: str
    root: str | None
    person: str | None
    job_group: str | None
    replay_of: str | None
    #: As JSON text, of a job that is dead.
    error: str | None = None


async def mark(tx: Connection, d: Dialect, which: str, *parameters: Any) -> None:
    """Leave marks for live jobs that end now; `which` is a condition on `job_live`."""
    await tx.execute(
        f"INSERT INTO job_follow (id, created) SELECT id, {d.now} FROM job_live WHERE linked AND {which} "
        "ON CONFLICT DO NOTHING",
        *parameters,
    )


async def marked(database: Database, older: float, limit: int) -> list[str]:
    """Return jobs whose mark is `older` than so many seconds: nobody has stored what follows them."""
    d = database.dialect
    rows = await database.fetch(
        f"SELECT id FROM job_follow WHERE {d.older('created', '$1')} LIMIT {int(limit)}", older
    )
    return [str(row["id"]) for row in rows]


async def take(tx: Connection, database: Database, ids: Sequence[str]) -> list[FinishedJob]:
    """Take the marks of jobs away; return those jobs whose marks were there."""
    d = database.dialect
    rows = await tx.fetch(
        f"DELETE FROM job_follow WHERE id {d.ids('$1')} RETURNING id", database.list(sorted(ids))
    )
    if not rows:
        return []
    found = await tx.fetch(
        "SELECT id, state, result, body, headers, root, person, job_group, replay_of, error FROM job_history "
        f"WHERE id {d.ids('$1')}",
        database.list([str(row["id"]) for row in rows]),
    )
    return [
        FinishedJob(
            str(row["id"]),
            State(row["state"]),
            row["result"],
            row["body"],
            row["headers"],
            _text(row["root"]),
            row["person"],
            _text(row["job_group"]),
            _text(row["replay_of"]),
            row["error"],
        )
        for row in found
    ]


async def open_groups(
    tx: Connection, d: Dialect, sizes: Mapping[str, int], shapes: Mapping[str, list[Any]]
) -> None:
    """Say how many parts the body of each chord waits for, and how their results are nested, if they are."""
    await tx.execute_many(
        f"INSERT INTO job_group (id, remaining, created) VALUES ($1, $2, {d.now}) ON CONFLICT DO NOTHING",
        [*sizes.items()],
    )
    for group, shape in shapes.items():
        await _note(tx, group, _SHAPE, json.dumps(shape))


async def add_part(tx: Connection, job: FinishedJob, n: int, result: str) -> bool:
    """Store a part of a chord; say whether it was the last one that was missing.

    The group's row is locked by its update, so that of two last parts one sees the other.
    """
    group, member = job.job_group, await _original(tx, job)
    if not await tx.execute(_PART, group, member, n, result):
        return False
    rows = await tx.fetch(
        "UPDATE job_group SET remaining = remaining - 1 WHERE id = $1 RETURNING remaining", group
    )
    return bool(rows) and rows[0]["remaining"] == 0


async def parts(tx: Connection | Database, group: str) -> dict[str, str]:
    """Return the results of a chord's parts, as JSON texts in order, by the ids of the parts."""
    rows = await tx.fetch(
        "SELECT member, result FROM job_part WHERE group_id = $1 AND n >= 0 ORDER BY n, member", group
    )
    return {str(row["member"]): row["result"] for row in rows}


async def shape(tx: Connection | Database, group: str) -> list[Any] | None:
    """Return the ids of a chord's parts, nested as their results shall be; None if they are not."""
    rows = await tx.fetch("SELECT result FROM job_part WHERE group_id = $1 AND n = $2", group, _SHAPE)
    found: list[Any] | None = json.loads(rows[0]["result"]) if rows else None
    return found


async def forget_parts(tx: Connection, group: str) -> None:
    """Drop the results of a chord's parts, whose body holds them now."""
    await tx.execute("DELETE FROM job_part WHERE group_id = $1", group)


async def fails_first(tx: Connection, group: str) -> bool:
    """Say whether no part of a chord has failed before: its error links are told once."""
    return bool(await _note(tx, group, _FAILED, "null"))


async def _note(tx: Connection, group: str, kind: int, value: str) -> int:
    """Keep something about a chord beside its parts."""
    return await tx.execute(_PART, group, derived_id("chord", group, str(kind)), kind, value)


async def _original(tx: Connection, job: FinishedJob) -> str:
    """Return the job that a replay goes back to: both are the same part."""
    id_, earlier = job.id, job.replay_of
    while earlier is not None:
        id_ = earlier
        rows = await tx.fetch("SELECT replay_of FROM job_history WHERE id = $1", earlier)
        earlier = _text(rows[0]["replay_of"]) if rows else None
    return id_


class Existing(NamedTuple):
    """A job that has an id already."""

    task: str
    state: State
    body: str
    job_group: str | None


async def existing(tx: Connection, database: Database, ids: Sequence[str]) -> dict[str, Existing]:
    """Return those of the jobs that are in the ledger, live or over, by their ids."""
    d = database.dialect
    one = f"SELECT id, task, state, body, job_group FROM %s WHERE id {d.ids('$1')}"
    rows = await tx.fetch(f"{one % 'job_live'} UNION ALL {one % 'job_history'}", database.list(ids))
    return {
        str(row["id"]): Existing(row["task"], State(row["state"]), row["body"], _text(row["job_group"]))
        for row in rows
    }


async def without_live(tx: Connection, database: Database, jobs: Sequence[NewJob]) -> list[NewJob]:
    """Return the jobs whose ids no live job has: a signature may carry the id of somebody else's job."""
    if not jobs:
        return []
    rows = await tx.fetch(
        f"SELECT id FROM job_live WHERE id {database.dialect.ids('$1')}",
        database.list([job.id for job in jobs]),
    )
    live = {str(row["id"]) for row in rows}
    return [job for job in jobs if job.id not in live]


async def give_up(tx: Connection, d: Dialect, jobs: Sequence[NewJob]) -> None:
    """Store jobs that will not run as cancelled, with their `reason`, so that nobody waits for them."""
    places = ", ".join(f"${n}" for n in range(1, len(NewJob._fields) + 1))
    await tx.execute_many(
        f"INSERT INTO job_history ({INSERTED}, created, finished) VALUES ({places}, {d.now}, {d.now}) "
        "ON CONFLICT DO NOTHING",
        [job._replace(state=State.CANCELLED) for job in jobs],
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
