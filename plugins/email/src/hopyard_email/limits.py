"""A limit: so many mails in so long, at every instant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LIMIT: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,6}(?:\.[0-9]{1,3})?)?(s|m|h|d)")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: A shorter window than this, in seconds, would cost more in waiting for answers than it smooths.
_LEAST_WINDOW: Final = 10.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` mails in any `seconds`.

    Any window of that length, wherever it begins, sees no more: a mail counts from the moment it was taken up
    until `seconds` after the server's answer to it.
    """

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Return the limit that `100/1m`, `10/s` or `500/12h` is. Raises ValueError."""
        found = _LIMIT.fullmatch(text.strip())
        if found is None:
            raise ValueError("expected a limit such as 100/1m, 10/s or 500/12h")
        made = cls(int(found[1]), float(found[2] or 1) * _UNITS[found[3]])
        if made.count == 0 or made.seconds == 0:
            raise ValueError("expected a limit above zero")
        return made

    @property
    def paced(self) -> Limit:
        """The same rate over a shorter window, so that what is allowed does not go out all at once.

        No more than `count / k` in any `seconds / k` is never more than `count` in any `seconds`.
        """
        most = int(self.seconds / _LEAST_WINDOW)
        parts = next((k for k in range(min(most, self.count), 1, -1) if self.count % k == 0), 1)
        return Limit(self.count // parts, self.seconds / parts)

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"
