"""The sentence without its time phrase, tidied, and a short title for it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_POLITE = re.compile(
    r"""^(?: [\s,.;:!?–-]+
        | (?:please|kindly|hey|hi|hello|ok|okay|also|then)\b
        | (?:can|could|would|will)\s+you\b
        | i(?:'d|’d|\s+would)?\s+(?:want|need|like)\s+(?:you\s+)?to\b
        | (?:let\s+me\s+know|tell\s+me|notify\s+me)\s+(?=that\b|to\b)
        | (?:set|create|make|add)\s+(?:me\s+)?a\s+reminder\b
        | remind\s+(?:me|us)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_AFTER_REMIND = re.compile(r"^\s*(?:to|that|about|of)\b", re.IGNORECASE)
_TRAILING = re.compile(
    r"(?:[\s,;:–-]|\b(?:please|and|then|but|thanks|thank\s+you)\s*[.!]*$)+$", re.IGNORECASE
)
_TITLE_LENGTH = 60


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return `text` without the given places, polite words and `remind me to`, first letter upper-case."""
    kept, end = [], 0
    for first, last in sorted(spans):
        # What stands between a date and its time as machines write it goes with them.
        kept.append("" if text[end:first] == "T" else text[end:first])
        end = max(end, last)
    rest = _joined([*kept, text[end:]])
    rest = _unpoliten(rest)
    return rest[:1].upper() + rest[1:]


def _joined(pieces: list[str]) -> str:
    rest = " ".join(piece.strip() for piece in pieces if piece.strip())
    rest = re.sub(r"\s+", " ", rest)
    rest = re.sub(r"\s+([,.;:!?])", r"\1", rest)
    rest = re.sub(r"[,;:]+\s*(?=[,.;:!?])", "", rest)
    return rest.strip()


def _unpoliten(rest: str) -> str:
    while (match := _POLITE.match(rest)) is not None and match.end():
        reminded = (
            match.group()
            .lower()
            .lstrip()
            .startswith(("remind", "set", "create", "make", "add", "let", "tell", "notify"))
        )
        rest = rest[match.end() :]
        if reminded:
            rest = _AFTER_REMIND.sub("", rest, count=1)
    ended = _TRAILING.sub("", rest)
    return re.sub(r"[\s.]+$", "", ended).strip(" ,;:")


def title(instruction: str) -> str:
    """A few words for lists: the first sentence, cut between words; `Reminder` where there is nothing."""
    line = re.split(r"(?<=[.!?])\s|\n", instruction.strip(), maxsplit=1)[0].strip(" .")
    if len(line) <= _TITLE_LENGTH:
        return line or "Reminder"
    cut = line[:_TITLE_LENGTH].rsplit(" ", 1)[0]
    return f"{cut.rstrip(' ,;:')}…"
