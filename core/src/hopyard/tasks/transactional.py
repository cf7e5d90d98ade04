"""Submitting inside the caller's own SQL transaction: the job exists if, and only if, that commits.

Row and outbox entry are Core inserts on the caller's `Session` or `AsyncSession`, whatever its driver.
The messages are sent after the commit; should the process die before, the relay finds the outbox entries.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Any

from hopyard import current, portal
from hopyard.errors import LedgerError
from hopyard.ledger.values import NewJob, utcnow
from hopyard.specs import State
from hopyard.tasks import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

log = logging.getLogger("hopyard.submit")

#: Jobs that one statement is about.
_BATCH = 500
#: In a session's `info`: the jobs whose messages are sent after its commit.
_PENDING = "hopyard.pending"
#: Engines that were found to lead to the ledger.
_ours: weakref.WeakSet[Any] = weakref.WeakSet()


async def submit_in(session: AsyncSession, jobs: Sequence[NewJob]) -> None:
    """Store jobs in an `AsyncSession`'s transaction. Raises `LedgerError` if it is another database's."""
    identity = await identity_of_ledger()
    await session.run_sync(lambda own: _store(own, jobs, identity))


def submit_in_sync(session: Session, jobs: Sequence[NewJob]) -> None:
    """Store jobs in a `Session`'s transaction. Raises `LedgerError` if it is another database's."""
    _store(session, jobs, portal.run(identity_of_ledger(), within_loop=True))


async def identity_of_ledger() -> str:
    """Return what tells this program's ledger from any other."""
    rows = await current.get().client().database.fetch("SELECT id FROM ledger_identity")
    return str(rows[0]["id"])


def _store(session: Session, jobs: Sequence[NewJob], identity: str) -> None:
    from sqlalchemy import event

    _check(session, identity)
    jobs = signals.before_publish(jobs)
    new: list[NewJob] = []
    for start in range(0, len(jobs), _BATCH):
        new += _insert(session, jobs[start : start + _BATCH])
    if _PENDING not in session.info:
        session.info[_PENDING] = []
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_rollback", _rolled_back)
    session.info[_PENDING] += new
    signals.after_publish(jobs, {job.id for job in new})


def _insert(session: Session, jobs: Sequence[NewJob]) -> list[NewJob]:
    """Store those jobs whose ids are in neither the live table nor history; return those that are new.

    The same id is the same job, also twice in one transaction.
    """
    from sqlalchemy import delete, exists
    from sqlalchemy.dialects import postgresql, sqlite

    from hopyard.ledger.tables import job_history, job_live, job_outbox

    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    now = utcnow()
    rows = [{**job._asdict(), "created": now} for job in jobs]
    stored = insert(job_live).on_conflict_do_nothing().returning(job_live.c.id)
    new = {str(id_) for id_ in session.scalars(stored, rows)}
    # Looked for afterwards: it may have ended while the insert waited for whoever had the same id.
    over = delete(job_live).where(job_live.c.id.in_(new), exists().where(job_history.c.id == job_live.c.id))
    new -= {str(id_) for id_ in session.scalars(over.returning(job_live.c.id))}
    stored_now = [*{job.id: job for job in jobs if job.id in new}.values()]
    queued = [job for job in stored_now if job.state == State.QUEUED]
    if queued:
        entries = insert(job_outbox).on_conflict_do_nothing()
        session.execute(entries, [{"id": job.id, "created": now} for job in queued])
    return stored_now


def _committed(session: Session) -> None:
    if session.get_nested_transaction() is None:  # the end of a savepoint is not the commit
        # Jobs of a savepoint that was rolled back are among them: their messages find no row.
        jobs, session.info[_PENDING] = session.info[_PENDING], []
        asyncio.run_coroutine_threadsafe(_announce(jobs), portal.loop())


def _rolled_back(session: Session) -> None:
    if session.get_nested_transaction() is None:
        session.info[_PENDING] = []


async def _announce(jobs: list[NewJob]) -> None:
    await current.get().client().announce(jobs)


def _check(session: Session, identity: str) -> None:
    from sqlalchemy import inspect, select

    from hopyard.ledger.tables import ledger_identity

    bind = session.get_bind()
    if bind in _ours:
        return
    connection = session.connection()
    there = inspect(connection).has_table(ledger_identity.name)
    if not there or connection.execute(select(ledger_identity.c.id)).scalar() != identity:
        raise LedgerError(
            f"{bind.engine.url.render_as_string(hide_password=True)} is not the ledger's database: "
            "a job can be stored only in a transaction of the database that holds the ledger"
        )
    _ours.add(bind)
