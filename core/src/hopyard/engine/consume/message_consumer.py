"""Messages that Celery's own consumer hands over, one by one: RabbitMQ, and whatever else kombu speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.claim.claimer import PAUSE
from hopyard.engine.consume.delivery import Refused
from hopyard.engine.consume.flow import Flow
from hopyard.engine.slots import Slots

if TYPE_CHECKING:
    from hopyard.engine.celery_node.main_thread import MainThread
    from hopyard.engine.claim.claimer import Claimed
    from hopyard.engine.consume.delivery import Delivery

_BATCH: Final = 64
#: Slots of a queue that no plugin declares.
FOREIGN_SLOTS: Final = 4


class MessageConsumer:
    """Messages wait for a free slot of their queue, and are acknowledged once their claim has committed."""

    def __init__(
        self,
        slots: dict[str, Slots],
        main: MainThread,
        *,
        take: Callable[[Sequence[Delivery]], Awaitable[Claimed]],
        closed: Callable[[], bool],
        set_aside: Callable[[Sequence[Refused]], Coroutine[Any, Any, Any]],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
    ) -> None:
        self._slots = slots
        self._main = main
        self._take = take
        self._closed = closed
        self._set_aside = set_aside
        self._spawn = spawn
        self.flow = Flow(slots)

    def receive(self, delivery: Delivery) -> None:
        """Take a message, on the engine's loop."""
        slots = self._slots.get(delivery.queue)
        if slots is None:  # a stock producer's own exchange and routing key
            slots = self._slots.setdefault(delivery.queue, Slots.of(FOREIGN_SLOTS))
        slots.waiting.append(delivery)
        self.wake(slots)

    def forget(self) -> None:
        """Drop what waits: the broker gives it to others, or brings it again."""
        for slots in self._slots.values():
            slots.waiting.clear()

    def wake(self, slots: Slots) -> None:
        """Claim for a queue if it has messages and free slots."""
        if slots.waiting and slots.free > 0 and not slots.claiming and not self._closed():
            slots.claiming = True
            self._spawn(self._claim(slots))
        if self.flow.wants_update(slots):
            self._main.soon(self.flow.update)

    async def _claim(self, slots: Slots) -> None:
        batch: dict[str, Delivery] = {}
        taken: list[Delivery] = []
        while slots.waiting and len(batch) < min(slots.free, _BATCH):
            delivery = slots.waiting.popleft()
            taken.append(delivery)
            batch.setdefault(delivery.id, delivery)
        try:
            found = await self._take([*batch.values()])
        finally:
            slots.claiming = False
        # The outbox brings Hopyard's own again.
        refused = [
            Refused(one.queue, reason, one.foreign.body.encode(), one.acknowledge)
            for one, reason in found.refused
            if one.foreign is not None
        ]
        if refused:
            self._spawn(self._set_aside(refused))  # which acknowledges them
        kept = {one.id for one in found.left} | {one.id for one, _ in found.refused if one.foreign}
        acknowledged = [delivery.acknowledge for delivery in taken if delivery.id not in kept]
        self._main.soon(lambda: [acknowledge() for acknowledge in acknowledged])
        if found.left:
            again = {delivery.id for delivery in found.left}
            slots.waiting.extendleft(reversed([delivery for delivery in taken if delivery.id in again]))
            asyncio.get_running_loop().call_later(PAUSE, self.wake, slots)
            return
        self.wake(slots)
