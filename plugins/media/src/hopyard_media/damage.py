"""Places of a recording that cannot be decoded: they cost themselves, not the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from hopyard.sandbox import Refusal

#: A recording of which more is lost is not worth being called whole.
_MOST_PLACES: Final = 5
#: As `engine.faults` has it.
_UNDECODABLE: Final = "undecodable"


@dataclass(slots=True)
class Damage:
    """What of a recording cannot be decoded, and why.

    A child says so by the kind of its refusal. Nothing else costs a place alone: a limit, a crash or a model
    that is no model would leave holes in a result that looks whole.
    """

    notes: list[str] = field(default_factory=list)
    last: Refusal | None = None
    _places: set[tuple[float, float]] = field(default_factory=set)

    @contextmanager
    def of(self, start: float, end: float) -> Iterator[None]:
        """Note what cannot be decoded within the block, which is about these seconds.

        Raises `Refusal` for too many of them.
        """
        try:
            yield
        except Refusal as error:
            if error.kind != _UNDECODABLE:
                raise
            self.last = error
            self._places.add((start, end))
            if len(self._places) > _MOST_PLACES:
                raise
            place = f"{start:,.0f} s" if start == end else f"{start:,.0f} to {end:,.0f} s"
            self.notes.append(f"left out, at {place}: {error}"[:500])

    def check(self, *, nothing: bool) -> None:
        """Raise the last `Refusal` where it left nothing."""
        if nothing and self.last is not None:
            raise self.last
