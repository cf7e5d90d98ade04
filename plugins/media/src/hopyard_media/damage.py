"""Places of a recording that cannot be decoded: they cost themselves, not the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from hopyard.sandbox import Refusal

#: A file that makes one child after the other hang must not do so for each of a hundred parts.
_MOST_PLACES: Final = 5


@dataclass(slots=True)
class Damage:
    """What of a recording was refused, and why."""

    most: int = _MOST_PLACES
    notes: list[str] = field(default_factory=list)
    last: Refusal | None = None
    _places: set[tuple[float, float]] = field(default_factory=set)

    @contextmanager
    def of(self, start: float, end: float) -> Iterator[None]:
        """Note what is refused within the block, which is about these seconds.

        Raises `Refusal` for too many of them.
        """
        try:
            yield
        except Refusal as error:
            self.last = error
            self._places.add((start, end))
            if len(self._places) > self.most:
                raise
            place = f"{start:,.0f} s" if start == end else f"{start:,.0f} to {end:,.0f} s"
            self.notes.append(f"left out, at {place}: {error}"[:500])

    def check(self, *, nothing: bool) -> None:
        """Raise the last `Refusal` where it left nothing."""
        if nothing and self.last is not None:
            raise self.last
