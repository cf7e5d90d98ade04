"""What came of a job that a test ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hopyard.errors import HopyardError, JobCancelled, JobFailed
from hopyard.events import TaskEvent

R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """A job after its run: how it ended, and all that it left on the way."""

    id: str
    task: str
    state: str
    """`succeeded`, `dead`, `cancelled`; `scheduled`, `parked` or `queued` where it waits."""
    value: R | None
    """Its result, as the task's type; None unless it succeeded."""
    error: Mapping[str, Any] | None
    """Of a job that ended otherwise: `kind`, `category`, `message`, `traceback`."""
    attempt: int
    """How many attempts there were."""
    attempts: Sequence[Mapping[str, Any]]
    """What is kept of attempts that failed, oldest first: `outcome`, `kind`, `category`, `message` …"""
    progress: Sequence[tuple[float, float | None, str]]
    """Current, total and message, of all attempts, oldest first."""
    saved: Sequence[Mapping[str, Any]]
    """Each checkpoint that it saved, of all attempts, oldest first."""
    effects: Mapping[str, Mapping[str, Any]]
    """By name: `state` (`done`, `failed`, `unknown`), `intent`, `outcome`."""
    log: Sequence[str]
    """What it logged: `LEVEL message`."""
    events: Sequence[TaskEvent] = field(repr=False, default=())
    """What plugins are told of it."""

    @property
    def checkpoint(self) -> Mapping[str, Any]:
        """What it saved last; empty if nothing."""
        return self.saved[-1] if self.saved else {}

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.state == "succeeded"

    def result(self) -> R:
        """Return its result. Raises `JobFailed` or `JobCancelled` as a handle does, with its error's text."""
        if self.ok:
            return self.value  # type: ignore[return-value]  # a job that succeeded has one
        if self.state == "cancelled":
            raise JobCancelled(f"job {self.id} was cancelled")
        if self.error is None:
            raise HopyardError(f"job {self.id} is {self.state}: it is not over")
        raise JobFailed(
            f"job {self.id} ended {self.state}: {self.error.get('kind')}: {self.error.get('message')}",
            kind=str(self.error.get("kind", "")),
            category=str(self.error.get("category", "bug")),
        )
