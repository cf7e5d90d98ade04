"""Storing what follows jobs that are over: Celery's own expansion of their signatures, kept in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.observers import EndedRun, Observer
from hopyard.engine.record.expansion import Expansion
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import following, set_aside
from hopyard.ledger.set_aside import SetAside
from hopyard.tasks import signals

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Connection
    from hopyard.ledger.values import Again, Done
    from hopyard.tasks.client import Client

log = logging.getLogger("hopyard.engine")

#: Jobs whose followers one transaction stores.
_BATCH: Final = 50
#: A mark this old was left by a worker that died, or by an end that no worker recorded.
_LEFT_AFTER: Final = 2.0
#: How often a page is stored anew because somebody took one of its ids meanwhile.
_RACES: Final = 3


class FollowUps:
    """Stores followers for one worker; what it does not live to do, the leading reconciler's does."""

    def __init__(self, hopyard: Hopyard, client: Client) -> None:
        self._hopyard = hopyard
        self._client = client
        self._database = client.database

    async def rest(self) -> None:
        """Store what nobody has stored in time."""
        while ids := await following.marked(self._database, _LEFT_AFTER, _BATCH):
            await self._follow(ids)
            if len(ids) < _BATCH:
                return

    async def follow(self, ids: Sequence[str]) -> None:
        """Store the followers of jobs that are over. Where the ledger is away, `rest` does it later."""
        for start in range(0, len(ids), _BATCH):
            try:
                await self._follow(ids[start : start + _BATCH])
            except LedgerUnavailable as error:
                log.info("what follows %d jobs is stored later: %s", len(ids) - start, error)
                return

    async def _follow(self, ids: Sequence[str]) -> None:
        """Store what follows a page of jobs; one whose follow-ups cannot be stored is set aside."""
        try:
            await self._store(ids)
        except LedgerUnavailable:
            raise
        except Exception as error:
            if len(ids) > 1:
                for id_ in ids:
                    await self._follow([id_])
                return
            log.exception("what follows job %s is given up", ids[0])
            await self._set_aside(ids[0], error)

    async def _set_aside(self, id_: str, error: Exception) -> None:
        """Give up what follows a job that cannot be stored: nobody waits for it; else the reason is kept."""
        reason = f"what follows the job is given up: {type(error).__name__}: {error}"
        try:
            async with self._database.transaction() as tx:
                expansion = Expansion(self._hopyard, tx)
                for job in await following.take(tx, self._database, [id_]):
                    expansion.give_up_all(job, reason)
                await self._give_up(tx, expansion)
        except LedgerUnavailable:
            raise
        except Exception:
            log.exception("what follows job %s cannot be marked as given up", id_)
            async with self._database.transaction() as tx:
                await following.take(tx, self._database, [id_])
                await set_aside.add(tx, self._database.dialect.now, [SetAside("follow-up", id_, reason)])

    async def _store(self, ids: Sequence[str]) -> None:
        for _ in range(_RACES):
            try:
                return await self._store_once(ids)
            except _TakenMeanwhile as error:
                log.info("%s: once more", error)
        raise _TakenMeanwhile("ids of what follows are taken by others again and again")

    async def _store_once(self, ids: Sequence[str]) -> None:
        async with self._database.transaction() as tx:
            expansion = Expansion(self._hopyard, tx)
            for job in await following.take(tx, self._database, ids):
                await expansion.add(job)
            await self._give_up(tx, expansion)
            if wanted := [job.id for job in expansion.jobs]:
                expansion.settle(await following.existing(tx, self._database, wanted))
                await self._give_up(tx, expansion)
            await following.open_groups(tx, self._database.dialect, expansion.sizes, expansion.shapes)
            jobs = signals.before_publish(expansion.jobs)
            new = await tx.insert_jobs(jobs) if jobs else set()
            if len(new) < len(jobs):
                raise _TakenMeanwhile("the id of a follow-up was taken meanwhile")
        await self._client.announce(jobs)
        signals.after_publish(jobs, new)

    async def _give_up(self, tx: Connection, expansion: Expansion) -> None:
        """Write what has been given up so far."""
        given_up, expansion.given_up = expansion.given_up, []
        reasons, expansion.set_aside = expansion.set_aside, []
        await following.give_up(
            tx, self._database.dialect, await following.without_live(tx, self._database, given_up)
        )
        await set_aside.add(tx, self._database.dialect.now, reasons)


class _TakenMeanwhile(Exception):
    """Somebody stored a job with an id of a follow-up after it was looked for."""


class FollowUpsObserver(Observer):
    """Has the followers of jobs stored as soon as their outcome is written."""

    def __init__(self, followups: FollowUps, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._followups = followups
        self._spawn = spawn
        #: Jobs that ended here, that something follows, and whose outcome is not written yet.
        self._ended: set[str] = set()

    def ended(self, runs: Sequence[EndedRun]) -> None:
        self._ended |= {
            run.running.claim.id for run in runs if run.outcome is not None and run.running.claim.linked
        }

    def recorded(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        if due := self._ended.intersection(outcome.id for outcome in outcomes):
            self._ended -= due
            self._spawn(self._followups.follow([*due]))
