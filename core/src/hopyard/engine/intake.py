"""Messages that Celery's own consumer hands over, one by one: RabbitMQ, and whatever else kombu speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine import claiming
from hopyard.engine.flow import Flow
from hopyard.engine.lanes import Lane

if TYPE_CHECKING:
    from hopyard.engine.claiming import Claimed
    from hopyard.engine.delivery import Delivery
    from hopyard.engine.mainthread import MainThread

_BATCH: Final = 64
#: Slots of a queue that no plugin declares.
FOREIGN_SLOTS: Final = 4


class Intake:
    """Messages wait in their lane for slots, and are acknowledged once their claim has committed."""

    def __init__(
        self,
        lanes: dict[str, Lane],
        main: MainThread,
        *,
        take: Callable[[Sequence[Delivery]], Awaitable[Claimed]],
        closed: Callable[[], bool],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._lanes = lanes
        self._main = main
        self._take = take
        self._closed = closed
        self._spawn = spawn
        self.flow = Flow(lanes)

    def receive(self, delivery: Delivery) -> None:
        """Take a message, on the engine's loop."""
        lane = self._lanes.get(delivery.queue)
        if lane is None:  # a stock producer's own exchange and routing key
            lane = self._lanes.setdefault(delivery.queue, Lane.of(FOREIGN_SLOTS))
        lane.waiting.append(delivery)
        self.kick(lane)

    def forget(self) -> None:
        """Drop what waits: the broker gives it to others, or brings it again."""
        for lane in self._lanes.values():
            lane.waiting.clear()

    def kick(self, lane: Lane) -> None:
        """Claim for a lane if it has messages and room."""
        if lane.waiting and lane.free > 0 and not lane.claiming and not self._closed():
            lane.claiming = True
            self._spawn(self._claim(lane))
        if self.flow.wants_update(lane):
            self._main.soon(self.flow.update)

    async def _claim(self, lane: Lane) -> None:
        batch: dict[str, Delivery] = {}
        taken: list[Delivery] = []
        while lane.waiting and len(batch) < min(lane.free, _BATCH):
            delivery = lane.waiting.popleft()
            taken.append(delivery)
            batch.setdefault(delivery.id, delivery)
        try:
            found = await self._take([*batch.values()])
        finally:
            lane.claiming = False
        kept = {delivery.id for delivery in (*found.left, *found.refused)}
        acknowledged = [delivery.acknowledge for delivery in taken if delivery.id not in kept]
        self._main.soon(lambda: [acknowledge() for acknowledge in acknowledged])
        if found.left:
            again = {delivery.id for delivery in found.left}
            lane.waiting.extendleft(reversed([delivery for delivery in taken if delivery.id in again]))
            asyncio.get_running_loop().call_later(claiming.PAUSE, self.kick, lane)
            return
        self.kick(lane)
