"""What plugins answer when a job is submitted: where it goes, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hopyard import checks

_PRIORITIES: Final = (0, 9)


@dataclass(frozen=True, slots=True)
class Route:
    """The queue, the priority (0 to 9, 9 first) or both for one call; None leaves one as it is."""

    queue: str | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        if self.queue is None and self.priority is None:
            checks.refuse("route", None, "a queue, a priority, or both")
        if self.queue is not None:
            checks.text("route: queue", self.queue)
        if self.priority is not None:
            checks.whole("route: priority", self.priority, *_PRIORITIES)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call is taken: refused with a reason for the caller, or put off by `delay` seconds.

    `delay` is at most a year. `Admission()` takes the call at once, and no other plugin is asked.
    """

    refused: str | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.refused is not None:
            checks.text("admission: refused", self.refused, 2_000)
        checks.number("admission: delay", self.delay, 0, checks.YEAR)
