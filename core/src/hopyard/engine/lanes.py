"""What a worker has of one queue: messages that wait, slots that are free, jobs that run."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from hopyard.engine.delivery import Delivery
from hopyard.ledger.values import Claim


@dataclass(slots=True)
class Running:
    """A claimed job in this process."""

    claim: Claim
    delivery: Delivery
    worker: int
    """The number under which it was claimed: the first half of its fence."""
    task: asyncio.Task[None] | None = None
    why: str | None = None
    """Why it was told to stop: `cancel`, `release` or `lost`."""


@dataclass(slots=True)
class Lane:
    """One queue in this worker."""

    free: int
    slots: int
    waiting: deque[Delivery] = field(default_factory=deque)
    claiming: bool = False
    careful: int = 0
    """So many claims take one message each: one of a batch could not be claimed."""

    @classmethod
    def of(cls, slots: int) -> Lane:
        """A lane whose slots are all free."""
        return cls(slots, slots)
