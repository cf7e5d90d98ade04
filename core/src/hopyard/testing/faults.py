"""Faults for one run: a death, a lost lease, a cancel or a time limit, at a moment that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hopyard import checks

Moment = Literal["save", "progress", "effect"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a job once, after the moment that is given: exactly one of these.

    `save=2`: after the second checkpoint is durable. `progress=1`: after the first word about progress.
    `effect="mail"`: after the action of this effect, before its outcome is recorded.
    Raises `SpecError` for anything else.
    """

    save: int = 0
    progress: int = 0
    effect: str = ""

    def __post_init__(self) -> None:
        what = type(self).__name__
        given = [name for name in ("save", "progress", "effect") if getattr(self, name)]
        if len(given) != 1:
            checks.refuse(f"{what}: moments", given, "one of `save`, `progress` and `effect`")
        checks.whole(f"{what}: save", self.save, 0, 1_000_000)
        checks.whole(f"{what}: progress", self.progress, 0, 1_000_000)
        if self.effect:
            checks.text(f"{what}: effect", self.effect)

    def hits(self, moment: Moment, count: int, name: str = "") -> bool:
        """Say whether it happens now, at the `count`th moment of its kind."""
        if moment == "effect":
            return bool(self.effect) and self.effect == name
        return int(getattr(self, moment)) == count


class DieAfter(Fault):
    """What runs the job dies there, as by `kill -9`: nothing that it still does counts, and it runs again."""


class LoseLease(Fault):
    """Another worker is given the job there, while this attempt goes on: its later writes are refused."""


class CancelAfter(Fault):
    """The job is cancelled there."""


class TimeOutAfter(Fault):
    """The job's time limit is over there."""


class Died(BaseException):
    """Ends an attempt that died by `DieAfter`. Tasks do not see it unless they catch `BaseException`."""
