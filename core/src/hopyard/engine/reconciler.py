"""Putting right what was interrupted.

Any worker takes jobs from dead ones. Whichever leads sends the messages that nobody has sent, queues jobs
whose time has come, sends all messages again after the broker lost its memory, and removes what is past its
retention.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hopyard.engine.duties import Duty
from hopyard.engine.resources import call
from hopyard.errors import BrokerError, HopyardError
from hopyard.ledger import access, leader, retention, set_aside, waiting, workers
from hopyard.ledger.read import counting, tail
from hopyard.ledger.values import new_id, utcnow

if TYPE_CHECKING:
    from hopyard.engine.record.followups import FollowUps
    from hopyard.ledger.values import LostJob
    from hopyard.settings import Settings
    from hopyard.tasks.client import Client

log = logging.getLogger("hopyard.reconciler")

DUTY: Final = "reconcile"
#: Leadership lasts as long as a worker's lease, within these seconds.
_LEASE: Final = (3.0, 8.0)
_TICK: Final = 1.0
#: An outbox entry this old was left by a producer that died between its commit and sending the messages.
_RELAY_AFTER: Final = 2.0
#: A queued row this old in a queue without messages has lost its message.
_FORGOTTEN_AFTER: Final = 5.0
#: A queued row's message is sent again after an hour, whatever the broker says.
_STALE_AFTER: Final = 3600.0
_BATCH: Final = 500
#: Jobs that one tick messages for after the broker lost its memory.
_PAGE: Final = 2000
_FIRST: Final = ("", "00000000-0000-0000-0000-000000000000")


class Reconciler:
    """One per worker process."""

    def __init__(
        self,
        client: Client,
        queues: Sequence[str],
        settings: Settings,
        followups: FollowUps,
        put_back_batches: Callable[[], Awaitable[int]],
        readmit: Callable[[], Awaitable[None]],
        lost: Callable[[Sequence[LostJob]], None],
    ) -> None:
        self._client = client
        self._database = client.database
        self._queues = queues
        self._followups = followups
        self._put_back_batches = put_back_batches
        self._lost = lost
        self._settings = settings
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{new_id()[-6:]}"
        self._epoch = new_id()
        self._lease = min(max(settings.worker.lease, _LEASE[0]), _LEASE[1])
        self._ending = asyncio.Event()
        self._resending: tuple[str, str] | None = None
        self._leads = False
        # Everyone does these: a dead worker's jobs do not wait for another leader as well, and plugins leave
        # and come back in each process for itself.
        self._everyones = (Duty("rescue", _TICK * 2, self._rescue), Duty("plugins", _TICK * 5, readmit))
        # First what others left, the leader before most of all: where one leader after the other dies at a
        # step, each has at least ended what was begun.
        self._duties = (
            Duty("relay", 1.0, self._relay),
            Duty("follow-ups", 1.0, self._followups.rest),
            Duty("promotion", 0.0, self._promote),
            Duty("resources", 1.0, self._call_waiting),
            Duty("messages", 3.0, self._resend),
            Duty("all messages", 0.0, self._resend_all),
        )
        self._tidying = (
            Duty("retention", 60.0, self._prune),
            Duty("events", 20.0, self._forget_events),
            Duty("counts", 60.0, self._tidy_counts),
        )

    def end(self) -> None:
        """Have `run` return after what it is at: a statement that is cut off helps nobody."""
        self._ending.set()

    async def run(self) -> None:
        """Go on until told to end."""
        try:
            while not self._ending.is_set():
                await self._wait(await self._turn())
        finally:
            try:
                await leader.resign(self._database, DUTY, self._holder)
            except HopyardError as error:
                log.info("leadership ends by itself in %g s: %s", self._lease, error)

    async def run_retention(self) -> None:
        """Remove what is past its retention, until told to end. It takes long, so nothing waits for it."""
        while not self._ending.is_set():
            for duty in self._tidying:
                if self._leads and duty.due():
                    await duty.attempt(self._database)
            await self._wait(_TICK)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def _turn(self) -> float:
        """Do what is due; return the seconds until the next look."""
        try:
            term = await leader.lead(self._database, DUTY, self._holder, self._lease)
        except Exception as error:  # noqa: BLE001 - whatever it is, without a lease nobody leads
            log.warning("who leads cannot be told: %s", error)
            term = None
        self._leads = term is not None
        for duty in self._everyones:
            if duty.due():
                await duty.attempt(self._database)
        if term is None:
            return _TICK * 2
        for duty in self._duties:
            if duty.due():
                await duty.attempt(self._database)
        return await self._pause()

    async def _pause(self) -> float:
        if self._resending is not None:
            return 0.2
        try:
            eta = await waiting.next_eta(self._database)
        except HopyardError as error:
            log.warning("when the next job is due cannot be told: %s", error)
            return _TICK
        if eta is None:
            return _TICK
        return min(_TICK, max(0.02, (eta - utcnow()).total_seconds()))

    async def _promote(self) -> None:
        while messages := await waiting.promote(self._database, _BATCH):
            await self._client.publish(messages)
            if len(messages) < _BATCH:
                return

    async def _call_waiting(self) -> None:
        await call(self._client, self._settings.resources)

    async def _relay(self) -> None:
        while messages := await waiting.unsent(self._database, _RELAY_AFTER, _BATCH):
            log.info("sending the messages of %d accepted jobs that nobody has sent", len(messages))
            if not await self._client.publish(messages):
                return
            await self._client.drop_sent()
            if len(messages) < _BATCH:
                return

    async def _rescue(self) -> None:
        rescued = await workers.rescue(self._database)
        if rescued.workers:
            log.warning(
                "workers %s were lost: %d of their jobs run again, %d end dead",
                rescued.workers,
                len(rescued.again),
                rescued.dead,
            )
            self._lost(rescued.jobs)
            await self._client.publish(rescued.again)
            # Nor do the messages wait that they had taken and not claimed yet.
            await self._put_back()

    async def _put_back(self) -> None:
        try:
            back = await self._put_back_batches()
        except BrokerError as error:
            log.info("messages that lost workers had taken stay where they are: %s", error)
            return
        if back:
            log.info("%d messages that lost workers had taken are back in their queues", back)

    async def _resend(self) -> None:
        queues = {*self._queues, *await workers.served_queues(self._database)}
        await self._put_back()
        try:
            remembers = await self._client.publisher.remembers(self._epoch)
            empty = await self._client.publisher.empty(queues)
        except BrokerError as error:
            log.info("the broker is away: %s", error)
            return
        if not remembers:
            log.warning("the broker has lost its memory (or is new): sending the messages of all queued jobs")
            self._resending = _FIRST
        if self._resending is not None:
            return  # which also covers the jobs of empty queues: once is enough
        for some, age in ((sorted(empty), _FORGOTTEN_AFTER), (sorted(queues), _STALE_AFTER)):
            messages = await waiting.forgotten(self._database, some, age, _BATCH) if some else []
            if messages:
                log.info("sending the messages of %d queued jobs again", len(messages))
                await self._client.publish(messages)

    async def _resend_all(self) -> None:
        """QueueMessage for the next page of all queued jobs; a tick is a page, so that nothing is flooded."""
        if self._resending is None:
            return
        messages = await waiting.queued_after(self._database, self._resending, _PAGE)
        if messages and not await self._client.publish(messages):
            return
        self._resending = (messages[-1].queue, messages[-1].id) if messages else None

    async def _forget_events(self) -> bool:
        return await tail.prune(self._database) > 0

    async def _tidy_counts(self) -> bool:
        return await counting.tidy(self._database) > 0

    async def _prune(self) -> bool:
        days = self._settings.retention
        gone = await retention.prune(
            self._database, progress_days=days.progress_days, results_days=days.results_days
        )
        forgotten = await set_aside.prune(self._database, days.results_days, retention.BATCH)
        acts = await access.prune(self._database, utcnow() - timedelta(days=days.results_days))
        return max(forgotten, acts, *gone.values()) >= retention.BATCH
