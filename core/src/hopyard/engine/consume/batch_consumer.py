"""Messages from Redis or Valkey, taken in batches: no more than there are free slots for, none held back.

Celery's consumer stays connected for remote control and events; it takes no messages of queues meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hopyard import portal
from hopyard.broker.popper import Popper, Taken
from hopyard.engine.claim.claimer import PAUSE
from hopyard.engine.consume.delivery import Delivery, Refused, from_redis, nothing
from hopyard.errors import BrokerError, LedgerUnavailable

if TYPE_CHECKING:
    from hopyard.engine.claim.claimer import Claimed
    from hopyard.engine.slots import Slots

log = logging.getLogger("hopyard.engine")

#: Messages that one step takes: 200 would cost 8 % less, 20 twice as much (measured on a prototype).
BATCH: Final = 64
#: A queue that had more messages than slots is asked again once half of its slots are free, or after so many
#: seconds: to ask, and to claim, for one or two jobs at a time costs as much as for a batch.
_GATHER: Final = 0.003
#: How long an idle worker waits for news before it looks by itself.
_IDLE: Final = 5.0
_PAUSES: Final = (0.1, 0.3, 1.0, 2.0)


class BatchConsumer:
    """The loop that takes, claims and begins."""

    def __init__(
        self,
        url: str,
        slots: Mapping[str, Slots],
        *,
        worker: Callable[[], int],
        closed: Callable[[], bool],
        take: Callable[[Sequence[Delivery]], Awaitable[Claimed]],
        divert: Callable[[Delivery], bool],
        set_aside: Callable[[Sequence[Refused]], Awaitable[bool]],
        put_back: Callable[[int], Awaitable[object]],
    ) -> None:
        self._lanes = slots
        self._worker = worker
        self._closed = closed
        self._take = take
        self._divert = divert
        self._set_aside = set_aside
        self._put_back = put_back
        self._popper = Popper(url)
        self._room = asyncio.Event()
        self._turn = 0
        #: Slots by queue for which messages are taken and not claimed yet.
        self._reserved: Counter[str] = Counter()
        #: Lanes whose queues had more than they had room for.
        self._overfull: list[Slots] = []
        self._ended = asyncio.Event()

    def wake(self, slots: Slots) -> None:
        """Look again: a slot of a slots is free, or the recorder has caught up."""
        self._room.set()
        if slots.free == 1:  # it was full: nobody looked for its messages
            self._popper.wake()

    def end(self) -> None:
        """Have `run` return after the batch that it is at."""
        self._ended.set()
        self._room.set()
        self._popper.wake()

    async def run(self) -> None:
        """Take messages until told to end, whatever the broker does meanwhile."""
        failures = 0
        while not self._ended.is_set():
            try:
                # A step whose answer was lost stands registered under this worker's number.
                await self._put_back(self._worker())
                await self._popper.open()
                failures = 0
                await self._consume()
            except (BrokerError, LedgerUnavailable) as error:
                log.warning("no messages can be taken: %s", error)
                await self._happens(self._ended, _PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
            finally:
                await self._popper.close()

    async def _consume(self) -> None:
        # What was promised to a batch that could not be begun would keep its slots empty for good.
        self._reserved.clear()
        under_way: asyncio.Task[None] | None = None
        try:
            while not self._ended.is_set():
                if any(0 < slots.free < min(slots.size, BATCH) // 2 for slots in self._overfull):
                    await asyncio.sleep(_GATHER)
                wanted = self._wanted()
                taken = await self._popper.take(self._worker(), wanted, BATCH) if wanted else None
                # One batch is claimed at a time; the next is taken meanwhile, so that slots stand empty for
                # as long as the longer one of the two takes.
                waited = under_way is not None
                if under_way is not None:
                    await under_way
                    under_way = None
                elif not taken:
                    await self._happens(self._room, _IDLE)
                if not taken:
                    continue
                found = Counter(queue for queue, _ in taken.messages)
                self._overfull = [self._lanes[queue] for queue, room in wanted if found[queue] >= room]
                if not found:
                    # While a batch was claimed its slots looked full: there may be room, and nobody tells.
                    if not waited:
                        await self._popper.idle([queue for queue, _ in wanted], _IDLE)
                    continue
                self._reserved = found
                under_way = portal.spawn(self._begin(taken))
                if not self._overfull:
                    await under_way
                    under_way = None
        finally:
            if under_way is not None:
                await under_way

    def _wanted(self) -> list[tuple[str, int]]:
        """Return the queues with free slots, and how many; another one first each time."""
        self._room.clear()
        self._popper.forget()
        if self._closed():
            return []
        rooms = {name: slots.free - self._reserved[name] for name, slots in self._lanes.items()}
        free = [(name, room) for name, room in rooms.items() if room > 0]
        self._turn += 1
        turn = self._turn % len(free) if free else 0
        return free[turn:] + free[:turn]

    @staticmethod
    async def _happens(event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def _read(self, queue: str, message: bytes) -> Delivery | Refused | None:
        """Return what a message is; None if Celery's pool runs it."""
        delivery = from_redis(queue, message)
        if isinstance(delivery, Refused) or delivery.foreign is None:
            return delivery
        try:
            return None if self._divert(delivery) else delivery
        except Exception as error:
            log.exception("a message of Celery's own task %s cannot be handed over", delivery.task)
            return Refused(queue, f"Celery cannot take it: {error}", message, nothing)

    async def _begin(self, taken: Taken) -> None:
        """Claim a batch, however long the ledger is away; meanwhile no more than one other is taken."""
        left: dict[str, Delivery] = {}
        refused: list[Refused] = []
        for queue, message in taken.messages:
            delivery = self._read(queue, message)
            if isinstance(delivery, Refused):
                refused.append(delivery)
            elif delivery is not None:
                left[delivery.id] = delivery
        while left:
            claimed = await self._take([*left.values()])
            self._reserved.clear()  # those that run have their slots
            # The outbox brings Hopyard's own again.
            refused += [
                Refused(one.queue, reason, one.raw, nothing)
                for one, reason in claimed.refused
                if one.foreign is not None
            ]
            left = {delivery.id: delivery for delivery in claimed.left}
            if left and self._ended.is_set():
                return  # they stay registered: another worker puts them back
            if left:
                await self._happens(self._ended, PAUSE)
        self._reserved.clear()
        if refused and not await self._set_aside(refused):
            return  # told to end while the ledger was away: another worker puts them back
        self._popper.done(taken.batch)
