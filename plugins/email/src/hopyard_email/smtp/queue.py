"""The sender: takes letters that are due until none is left, or none may be sent now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hopyard import Job, storage

from hopyard_email import reconciling
from hopyard_email.models import Processed
from hopyard_email.outbox import claims, cleaning, outcomes, trouble
from hopyard_email.outbox.claims import Claimed, Taken
from hopyard_email.smtp.delivery import Delivery
from hopyard_email.together import together
from hopyard_email.waking import wake

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings

log = logging.getLogger(__name__)

#: Letters that are claimed at once.
_BATCH: Final = 20
#: One run lasts no longer, in seconds; another one goes on.
_LONGEST: Final = 240.0
#: A run waits for a limit that is free again so soon; for more it leaves the place to others.
_PATIENCE: Final = 15.0
#: Seconds between looks for new letters while another account still sends.
_LOOK_AGAIN: Final = 1.0


class Sender:
    """One run of the sender job."""

    def __init__(self, job: Job, settings: EmailSettings) -> None:
        self._job = job
        self._settings = settings
        self._id = storage.new_id()
        self._report = Processed()
        self._deliveries: dict[str, Delivery] = {}
        self._full: dict[str, datetime] = {}
        self._busy: set[str] = set()
        self._ends = 0.0
        self._lives = True
        self._seen = time.monotonic()

    async def run(self) -> Processed:
        """Send what is due; return what became of it."""
        await claims.take_back(self._settings.sender_lease)
        await outcomes.expire()
        resolved, still_unknown = await reconciling.look(self._settings)
        self._report.resolved, self._report.unknown = resolved, still_unknown
        await claims.register(self._id, self._job.id)
        try:
            async with self._beating():
                await self._send_all()
        finally:
            for delivery in self._deliveries.values():
                await delivery.close()
            await claims.sign_off(self._id)
        await outcomes.expire()
        if self._job.schedule is not None:
            await cleaning.remove_old(self._settings)
        await self._wake_later()
        return self._report

    async def _send_all(self) -> None:
        self._ends = time.monotonic() + _LONGEST
        await together(*(self._send_account(name) for name in self._settings.accounts))

    async def _send_account(self, name: str) -> None:
        """Send one account's letters. No account waits for another one's server.

        While others still send, new letters are looked for: the next run waits for the end of this one.
        """
        while self._living() and time.monotonic() < self._ends:
            taken = await self._claim(name)
            if taken.letters:
                await self._send(name, taken.letters)
            elif taken.full or await self._waited(name):
                continue
            elif self._busy:
                await asyncio.sleep(_LOOK_AGAIN)
            else:
                return

    async def _claim(self, name: str) -> Taken:
        if await trouble.resting([name]):
            return Taken([], {})
        now = storage.utcnow()
        self._full = {limit: until for limit, until in self._full.items() if until > now}
        taken = await claims.claim(self._id, self._settings, accounts=[name], full=[*self._full], most=_BATCH)
        self._full |= taken.full
        return taken

    async def _waited(self, name: str) -> bool:
        """Wait until a limit is free again, if that is soon and letters wait for it."""
        if not self._full or await trouble.resting([name]):
            return False
        seconds = (min(self._full.values()) - storage.utcnow()).total_seconds()
        due = await claims.next_due([name])
        if due is None or due > storage.utcnow() or seconds > _PATIENCE:
            return False
        await asyncio.sleep(max(0.05, seconds))
        return True

    async def _send(self, name: str, batch: list[Claimed]) -> None:
        if name not in self._deliveries:
            self._deliveries[name] = Delivery(self._id, name, self._settings, self._report)
        delivery = self._deliveries[name]
        delivery.problem = None
        self._busy.add(name)
        try:
            await delivery.send(batch, self._living)
        finally:
            self._busy.discard(name)
        if delivery.problem and delivery.problem not in self._report.problems:
            self._report.problems.append(delivery.problem)
        self._job.progress(self._report.sent, message=f"{self._report.sent} sent")

    def _living(self) -> bool:
        """Whether others still count on this sender: they give it up after a lease without a sign."""
        return self._lives and time.monotonic() - self._seen < self._settings.sender_lease

    @asynccontextmanager
    async def _beating(self) -> AsyncIterator[None]:
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self) -> None:
        from hopyard.errors import LedgerError

        while self._lives:
            began = time.monotonic()
            try:
                self._lives = await claims.beat(self._id)
                self._seen = began
            except LedgerError as error:  # `_living` ends the run if this lasts
                log.warning("the sender could not say that it lives: %s", error)
            await asyncio.sleep(self._settings.sender_lease / 4)

    async def _wake_later(self) -> None:
        """Have the next run come when something is due, if that is before the schedule brings it."""
        names = [*self._settings.accounts]
        resting = await trouble.resting(names)
        moments = [until for name, until in resting.items() if await claims.next_due([name]) is not None]
        due = await claims.next_due([name for name in names if name not in resting])
        if due is not None:
            # What is due and still here waits for a limit.
            moments.append(max([due, *([min(self._full.values())] if self._full else [])]))
        look = await reconciling.next_look()
        if look is not None:
            moments.append(look)
        death = await claims.next_death(self._id, self._settings.sender_lease)
        if death is not None:  # if it is dead, its letters are to be taken back then
            moments.append(death)
        if moments:
            await wake(max(min(moments), storage.utcnow() + timedelta(seconds=1)))
