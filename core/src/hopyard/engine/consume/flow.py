"""Not taking what cannot be run: a queue whose jobs fill this worker is not consumed meanwhile.

Runs in the consumer's thread. A queue is left once as many messages wait as it has slots, and consumed again
when none waits, so that short jobs do not flip it each time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hopyard.engine.slots import Slots

log = logging.getLogger("hopyard.engine")


class Flow:
    """Which queues the consumer takes messages from."""

    def __init__(self, slots: Mapping[str, Slots]) -> None:
        self._lanes = {**slots}  # not those that the engine makes for stock producers' routing keys
        self._consumer: Any = None
        self._left: set[str] = set()

    def connected(self, consumer: Any) -> None:
        """Begin with a new consumer: all queues, and no more unacknowledged messages than twice the slots."""
        self._consumer = consumer
        self._left.clear()
        slots = sum(slots.size for slots in self._lanes.values())
        # Celery's loop keeps the broker at this value: its own would be one, the size of its idle pool.
        consumer.initial_prefetch_count = consumer.qos.value = 2 * slots
        consumer.qos.update()

    def disconnected(self) -> None:
        """Forget the consumer."""
        self._consumer = None

    def wants_update(self, slots: Slots) -> bool:
        """Say whether a slots may need `update`; called from the engine's loop, cheap and approximate."""
        return len(slots.waiting) >= slots.size or (bool(self._left) and not slots.waiting)

    def update(self) -> None:
        """Leave full queues and come back to empty ones."""
        if self._consumer is None or self._consumer.task_consumer is None:
            return
        tasks = self._consumer.task_consumer
        for name, slots in self._lanes.items():
            if name not in self._left and len(slots.waiting) >= slots.size:
                tasks.cancel_by_queue(name)
                self._left.add(name)
            elif name in self._left and not slots.waiting:
                queue = self._consumer.app.amqp.queues[name]
                tasks.add_queue(queue)
                tasks.consume()
                self._left.discard(name)
