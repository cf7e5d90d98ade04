"""What follows a job: the next one of its chain, its links, and the body of a chord once all parts are there.

A job that has any carries `linked`. When it ends, however it ends, the same transaction leaves a mark in
`job_follow`; whoever takes the mark away stores what follows, in one transaction as well, so that each
follower is stored exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hopyard.ledger.columns import INSERTED
from hopyard.ledger.database import Connection, Database
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import NewJob
from hopyard.specs import State


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
        "SELECT id, state, result, body, headers, root, person, job_group, replay_of FROM job_history "
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
        )
        for row in found
    ]


async def open_groups(tx: Connection, d: Dialect, sizes: Mapping[str, int]) -> None:
    """Say how many parts the body of each chord waits for."""
    await tx.execute_many(
        f"INSERT INTO job_group (id, remaining, created) VALUES ($1, $2, {d.now}) ON CONFLICT DO NOTHING",
        [*sizes.items()],
    )


async def add_part(tx: Connection, job: FinishedJob, n: int, result: str) -> list[str] | None:
    """Store a part of a chord; return all results in order if it was the last one that was missing.

    The group's row is locked by its update, so that of two last parts one sees the other.
    """
    group, member = job.job_group, await _original(tx, job)
    new = await tx.execute(
        "INSERT INTO job_part (group_id, member, n, result) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        group,
        member,
        n,
        result,
    )
    if not new:
        return None
    rows = await tx.fetch(
        "UPDATE job_group SET remaining = remaining - 1 WHERE id = $1 RETURNING remaining", group
    )
    if not rows or rows[0]["remaining"] != 0:
        return None
    parts = await tx.fetch("SELECT result FROM job_part WHERE group_id = $1 ORDER BY n, member", group)
    await tx.execute("DELETE FROM job_part WHERE group_id = $1", group)
    return [part["result"] for part in parts]


async def _original(tx: Connection, job: FinishedJob) -> str:
    """Return the job that a replay goes back to: both are the same part."""
    id_, earlier = job.id, job.replay_of
    while earlier is not None:
        id_ = earlier
        rows = await tx.fetch("SELECT replay_of FROM job_history WHERE id = $1", earlier)
        earlier = _text(rows[0]["replay_of"]) if rows else None
    return id_


async def given_up(tx: Connection, database: Database, ids: Sequence[str]) -> set[str]:
    """Return those ids that were cancelled, as the followers of a job that failed are."""
    rows = await tx.fetch(
        f"SELECT id FROM job_history WHERE id {database.dialect.ids('$1')} AND state = {State.CANCELLED:d}",
        database.list(ids),
    )
    return {str(row["id"]) for row in rows}


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
