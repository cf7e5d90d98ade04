"""Jobs that wait: for their time, for the broker, for a plugin, for somebody to change their mind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from hopyard.ledger.columns import PAUSED
from hopyard.ledger.database import Connection, Database, appended
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import MESSAGE_COLUMNS, QueueMessage, moment
from hopyard.specs import State

#: A job that is queued anew may still have an old entry, whose message was sent: its time begins again.
RENEWED: Final = "ON CONFLICT (id) DO UPDATE SET created = excluded.created"


async def enter(tx: Connection, d: Dialect, ids: Iterable[str]) -> None:
    """Write outbox entries of jobs that are queued anew."""
    await tx.execute_many(
        f"INSERT INTO job_outbox (id, created) VALUES ($1, {d.now}) {RENEWED}", [(id_,) for id_ in ids]
    )


async def unsent(database: Database, older: float, limit: int = 500) -> list[QueueMessage]:
    """Return queued jobs whose outbox entry is `older` than so many seconds: nobody has sent their messages.

    Entries of jobs that are no longer queued are dropped on the way.
    """
    d = database.dialect
    old = d.older("o.created", "$1")
    look = (
        "SELECT o.id, o.jobs, j.task, j.queue, j.priority, j.body, j.headers, j.crashes, j.state "
        f"FROM job_outbox o LEFT JOIN job_live j ON j.id = o.id WHERE {old} LIMIT $2"
    )
    rows = await database.fetch(look, older, limit)
    if many := [str(row["id"]) for row in rows if row["jobs"] is not None]:
        await _scatter(database, many)
        rows = await database.fetch(look, older, limit)
    if any(row["state"] != State.QUEUED for row in rows):
        # Looked at once more: one of them may have been handed back since.
        await database.execute(
            f"DELETE FROM job_outbox WHERE id IN (SELECT o.id FROM job_outbox o LEFT JOIN job_live j "
            f"ON j.id = o.id WHERE {old} AND o.jobs IS NULL "
            f"AND (j.id IS NULL OR j.state <> {State.QUEUED:d}) LIMIT $2)",
            older,
            limit,
        )
    return [QueueMessage.of(row) for row in rows if row["state"] == State.QUEUED]


async def _scatter(database: Database, entries: Sequence[str]) -> None:
    """Replace entries that stand for many jobs by one for each that is queued yet."""
    d = database.dialect
    async with database.transaction() as tx:
        for id_ in entries:  # few: one for each batch whose producer died
            for row in await tx.fetch("DELETE FROM job_outbox WHERE id = $1 RETURNING created, jobs", id_):
                await tx.execute(
                    f"INSERT INTO job_outbox (id, created) SELECT id, $2 FROM job_live "
                    f"WHERE id {d.ids('$1')} AND state = {State.QUEUED:d} ON CONFLICT DO NOTHING",
                    row["jobs"],
                    row["created"],
                )


async def entries(database: Database, ids: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the outbox entries of jobs as `Database.drop_sent` takes them: id and time of writing."""
    d = database.dialect
    rows = await database.fetch(
        f"SELECT id, created FROM job_outbox WHERE id {d.ids('$1')}", database.list(ids)
    )
    return [(str(row["id"]), row["created"]) for row in rows]


#: A job's message is sent again at most once in so many seconds.
RESEND_PAUSE = 60.0


async def forgotten(
    database: Database, queues: Iterable[str], older: float, limit: int = 500
) -> list[QueueMessage]:
    """Return queued jobs, `older` than so many seconds, whose message was not sent again lately.

    Marks their messages as sent now.
    """
    d = database.dialect
    rows = await database.fetch(
        f"UPDATE job_live SET rung = {d.now} WHERE id IN ("
        f"SELECT id FROM job_live WHERE queue {d.texts('$1')} AND queue > '' AND state = {State.QUEUED:d} "
        f"AND queue NOT IN {PAUSED} "
        "AND id NOT IN (SELECT job_id FROM job_resource WHERE claim IS NULL) "
        f"AND {d.older('created', '$2')} "
        f"AND (rung IS NULL OR {d.older('rung', str(RESEND_PAUSE))}) ORDER BY queue, id LIMIT $3) "
        f"AND state = {State.QUEUED:d} RETURNING {MESSAGE_COLUMNS}",
        database.list(queues),
        older,
        limit,
    )
    return [QueueMessage.of(row) for row in rows]


async def queued_again(database: Database, ids: Sequence[str]) -> list[QueueMessage]:
    """Return those jobs that are queued, though somebody ran them; marks their messages as sent.

    A claim may be forgotten in a crash of the database; the message went when it was made.
    """
    d = database.dialect
    rows = await database.fetch(
        f"UPDATE job_live SET rung = {d.now} WHERE id {d.ids('$1')} AND state = {State.QUEUED:d} "
        f"RETURNING {MESSAGE_COLUMNS}",
        database.list(ids),
    )
    return [QueueMessage.of(row) for row in rows]


async def queued_after(database: Database, last: tuple[str, str], limit: int = 500) -> list[QueueMessage]:
    """Return the next queued jobs behind `last` (queue and id); marks their messages as sent.

    For a broker that lost its memory: each page costs what it returns, however many rows wait.
    """
    d = database.dialect
    page = await database.fetch(
        "SELECT id, queue FROM job_live "
        f"WHERE (queue, id) > ($1, $2) AND queue > '' AND state = {State.QUEUED:d} "
        f"AND queue NOT IN {PAUSED} "
        "ORDER BY queue, id LIMIT $3",
        *last,
        limit,
    )
    rows = await database.fetch(
        f"UPDATE job_live SET rung = {d.now} WHERE id {d.ids('$1')} AND state = {State.QUEUED:d} "
        f"RETURNING {MESSAGE_COLUMNS}",
        database.list([str(row["id"]) for row in page]),
    )
    return sorted((QueueMessage.of(row) for row in rows), key=lambda message: (message.queue, message.id))


async def promote(database: Database, limit: int = 500) -> list[QueueMessage]:
    """Queue the jobs whose time has come and return them; their outbox entries are written."""
    d = database.dialect
    waits = f"state IN ({State.SCHEDULED:d}, {State.RETRYING:d})"
    async with database.transaction() as tx:
        rows = await tx.fetch(
            f"UPDATE job_live SET state = {State.QUEUED:d}, eta = NULL, rung = {d.now} WHERE id IN ("
            f"SELECT id FROM job_live WHERE eta <= {d.now} ORDER BY eta LIMIT $1) "
            # Again, of the row itself: while this waited for its lock it may have been given a later time.
            f"AND {waits} AND eta <= {d.now} RETURNING {MESSAGE_COLUMNS}",
            limit,
        )
        await enter(tx, d, [str(row["id"]) for row in rows])
    return [QueueMessage.of(row) for row in rows]


async def next_eta(database: Database) -> datetime | None:
    """Return when the next waiting job falls due."""
    rows = await database.fetch("SELECT min(eta) AS eta FROM job_live WHERE eta IS NOT NULL")
    return moment(rows[0]["eta"])


async def park(database: Database, ids: Sequence[str], reason: str) -> None:
    """Set queued jobs aside that nobody here can run; nothing of them is lost."""
    d = database.dialect
    await database.execute(
        f"UPDATE job_live SET state = {State.PARKED:d}, reason = $2 "
        f"WHERE id {d.ids('$1')} AND state = {State.QUEUED:d}",
        database.list(ids),
        reason,
    )


#: Why a job is parked that no worker can help, whatever tasks it knows.
UNSIZED_CHORD: Final = (
    "its chord was made by a producer without Hopyard, so the ledger does not know its size"
)


async def unpark(database: Database, tasks: Iterable[str]) -> int:
    """Queue jobs that were parked for want of a worker who knows their tasks; return how many."""
    d = database.dialect
    async with database.transaction() as tx:
        rows = await tx.fetch(
            f"UPDATE job_live SET state = {State.QUEUED:d}, reason = NULL "
            f"WHERE state = {State.PARKED:d} AND task {d.texts('$1')} AND reason <> $2 RETURNING id",
            database.list(tasks),
            UNSIZED_CHORD,
        )
        await enter(tx, d, [str(row["id"]) for row in rows])
    return len(rows)


async def release(
    database: Database, jobs: Sequence[tuple[str, int]], worker: int, entry: str | None = None
) -> None:
    """Hand running jobs back (pairs of id and claim); the attempt does not count.

    `entry` tells of it in the job's history, as JSON text; without one nothing ran.
    """
    d = database.dialect
    kept = "" if entry is None else f", attempts = {appended('$4')}"
    async with database.transaction() as tx:
        rows: list[Any] = []
        for id_, claim in jobs:  # at shutdown only, as many as were running
            rows += await tx.fetch(
                f"UPDATE job_live SET state = {State.QUEUED:d}, worker = NULL, attempt = attempt - 1{kept} "
                f"WHERE id = $1 AND claim = $2 AND worker = $3 AND state = {State.RUNNING:d} RETURNING id",
                id_,
                claim,
                worker,
                *([] if entry is None else [entry]),
            )
        await enter(tx, d, [str(row["id"]) for row in rows])


async def park_claimed(database: Database, id_: str, claim: int, worker: int, reason: str) -> None:
    """Set a job aside that this worker has claimed and cannot run; the attempt does not count."""
    await database.execute(
        f"UPDATE job_live SET state = {State.PARKED:d}, worker = NULL, attempt = attempt - 1, reason = $4 "
        f"WHERE id = $1 AND claim = $2 AND worker = $3 AND state = {State.RUNNING:d}",
        id_,
        claim,
        worker,
        reason,
    )
