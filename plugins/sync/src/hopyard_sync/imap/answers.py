"""What commands are answered, and refusals after which others can be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from hopyard.errors import InvalidInput, TransientError

from hopyard_sync.imap import syntax


class Refused(InvalidInput):
    """The server does not do what it was asked for, or answers with what is no IMAP. Others can be asked."""


class RefusedForNow(TransientError):
    """The same, where the server says that it will pass."""


REFUSED: Final = (Refused, RefusedForNow)


@dataclass(slots=True)
class Answer:
    """What a command was answered: untagged answers as values, with room for so many octets of them."""

    room: int
    untagged: list[list[Any]] = field(default_factory=list)
    fault: str | None = None
    """What is wrong with it. It is read to its end all the same, so that the next command has its own."""

    def of(self, kind: str) -> list[list[Any]]:
        """Return the untagged answers of a kind, such as SEARCH or, behind its number, FETCH."""
        return [
            one
            for one in self.untagged
            if any(isinstance(part, str) and part.upper() == kind for part in one[:2])
        ]

    def said(self, name: str, most: int = syntax.MAX_NUMBER) -> int | None:
        """Return the number of a response code such as UIDVALIDITY."""
        for one in self.untagged:
            words = str(one[1])[1:-1].split(" ") if len(one) == 2 else []
            if words[:1] == [name] and words[1:]:
                return syntax.number(words[1], most)
        return None
