"""The slots that a worker has for the jobs of one queue."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hopyard.engine.consume.delivery import Delivery


@dataclass(slots=True)
class Slots:
    """The slots of one queue in this worker, and the messages that wait for one."""

    free: int
    size: int
    waiting: deque[Delivery] = field(default_factory=deque)
    claiming: bool = False

    @classmethod
    def of(cls, size: int) -> Slots:
        """Return so many slots, all free."""
        return cls(size, size)
