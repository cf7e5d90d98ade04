"""Who looks on while jobs run: Celery's view, follow-ups, progress, and the plugins' notify hooks.

Observers are called on the engine's loop, `progressed` from any thread. They take lists, never wait, and hand
longer work to others. What one raises is logged; it reaches neither the job nor the other observers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hopyard.engine.running import Running
    from hopyard.ledger.values import Again, Claim, Done, LostJob, Progress

log = logging.getLogger("hopyard.engine")


class EndedRun(NamedTuple):
    """A job that no longer runs here. Without an outcome it was given to another worker."""

    running: Running
    outcome: Done | Again | None


class Observer:
    """Looks on; override what is of interest."""

    def begun(self, jobs: Sequence[Running]) -> None:
        """Jobs were claimed and run now."""

    def ended(self, runs: Sequence[EndedRun]) -> None:
        """Jobs no longer run here; what is to be recorded of them is not written yet."""

    def recorded(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        """Outcomes were written, but for the ids in `refused`, whose jobs were no longer this worker's."""

    def progressed(self, progress: Sequence[Progress]) -> None:
        """Tasks said how far they are. Called from any thread."""

    def parked(self, claims: Sequence[Claim], reason: str) -> None:
        """Claimed jobs wait now for a plugin that this worker does not have."""

    def lost(self, jobs: Sequence[LostJob]) -> None:
        """Jobs of dead workers were queued again, or ended."""


class Observers(Observer):
    """All observers of a worker, called one after the other. Those that override nothing are not called."""

    def __init__(self, *observers: Observer) -> None:
        self._calls: dict[str, list[Callable[..., None]]] = {
            name: [
                getattr(one, name)
                for one in observers
                if getattr(type(one), name) is not getattr(Observer, name)
            ]
            for name in ("begun", "ended", "recorded", "progressed", "parked", "lost")
        }
        self._ends: list[EndedRun] = []

    def begun(self, jobs: Sequence[Running]) -> None:
        self._tell("begun", jobs)

    def ended(self, runs: Sequence[EndedRun]) -> None:
        self._tell("ended", runs)

    def ends(self, run: EndedRun) -> None:
        """Note that a job has ended here; `tell_ends` tells of it, with others: one by one it costs more."""
        self._ends.append(run)

    def tell_ends(self) -> None:
        """Tell of the jobs that have ended since the last call."""
        runs, self._ends = self._ends, []
        self.ended(runs)

    def recorded(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        self._tell("recorded", outcomes, refused)

    def progressed(self, progress: Sequence[Progress]) -> None:
        self._tell("progressed", progress)

    def parked(self, claims: Sequence[Claim], reason: str) -> None:
        self._tell("parked", claims, reason)

    def lost(self, jobs: Sequence[LostJob]) -> None:
        self._tell("lost", jobs)

    def _tell(self, what: str, *args: Any) -> None:
        for call in self._calls[what]:
            try:
                call(*args)
            except Exception:
                log.exception("an observer failed over what was %s: %r", what, call)
