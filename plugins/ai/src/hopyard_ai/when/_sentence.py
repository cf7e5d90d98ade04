"""The sentence without its time phrase, tidied, and a short title for it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hopyard.errors import ScheduleError

_POLITE = re.compile(
    r"""^(?: [\s,.;:!?–-]+
        | (?:please|pls|plz|kindly|hey|hi|hello|ok|okay|also|so|then|again)\b
        | (?:can|could|would|will)\s+you\b
        | i(?:['’]d|\s+would)?\s+(?:want|need|like)\s+(?:you\s+)?to\b (?!\s+be\b)
        | (?P<told> (?:let\s+me\s+know|tell\s+me|notify\s+me)\s+(?=that\b|to\b)
          | (?:can|could|may)\s+i\s+(?:be\s+(?:reminded|told)|(?:get|have)\s+a\s+reminder)\b
          | i(?:['’]d|\s+would)?\s+(?:want|need|like)\s+a\s+reminder\b
          | i(?:['’]d|\s+would)?\s+(?:want|need|like)\s+to\s+be\s+(?:reminded|told)\b
          | (?:set|create|make|add|schedule|give|send|put|get)\s+(?:(?:me|us)\s+)?(?:(?:a|an|another|the)\s+)?
            (?:(?:recurring|repeating|new)\s+)?reminder\b
          | (?:remind|ping|nudge|notify|alert)\s+(?:me|us)\b
          | (?:don['’]?t|do\s+not)\s+let\s+(?:me|us)\s+forget\b
          | reminder\b\s*(?=:|to\b|that\b|for\b|about\b|of\b|$) )
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_AFTER_REMIND = re.compile(r"^[\s,:;-]*(?:again\b[\s,]*)?(?:(?:to|that|about|of|for)\b)?", re.IGNORECASE)
_TRAILING = re.compile(
    r"(?:[\s,;:–-]|\b(?:please|pls|plz|thx|and|then|but|thanks|thank\s+you)\s*[.!?]*$)+$", re.IGNORECASE
)
_TITLE_LENGTH = 60
_REMINDS = re.compile(
    r"\b(?:remind(?:er)?|alarm|timer|wake)\b|\b(?:don['’]?t|do\s+not)\s+let\s+(?:me|us)\s+forget\b"
    r"|^\W*(?:please\s+)?(?:ping|tell|message|notify|text|alert)\s+(?:me|us)\b[^,]*?\s+(?:to|that)\s",
    re.IGNORECASE,
)
_REVOKES = re.compile(
    r"^\W*(?:please\s+)?(?:(?:do\s+not|don['’]?t|never|stop|quit|no\s+longer)\s+(?:ever\s+)?"
    r"(?:remind|notify|ping|alert|messag|tell|wak)(?:e|ing)?\s+(?:me|us)\b"
    r"|(?:please\s+)?(?:stop|quit|no\s+longer)\s+\w+ing\s+(?:me|us)\b"
    r"|(?:cancel|delete|remove|stop|drop|pause|move|change|shift|reschedule|postpone|snooze|edit)\s+(?:(?:the|my|all|that|this)\s+)+(?:[\w':]+\s+){0,4}?reminders?\b)",
    re.IGNORECASE,
)


def check(text: str) -> None:
    """Raise ScheduleError for a sentence that takes a request back: it makes no new one."""
    if _REVOKES.match(text):
        raise ScheduleError(
            "this takes a request back, it makes none: `hopyard ai list` shows your requests, "
            "`hopyard ai pause` and `hopyard ai delete` stop one"
        )


def reminds(text: str) -> bool:
    """Whether the person wants to be told something, not to have something done."""
    return _REMINDS.search(text) is not None


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return `text` without the given places, polite words and `remind me to`, first letter upper-case."""
    kept, end = [], 0
    for first, last in sorted(spans):
        for left, right in ("()", "[]"):
            cut = text[first:last]
            while cut.count(left) > cut.count(right) and text[last:].lstrip()[:1] == right:
                last += text[last:].index(right) + 1
                cut = text[first:last]
        # What stands between a date and its time as machines write it goes with them.
        kept.append("" if text[end:first] == "T" else text[end:first])
        end = max(end, last)
    rest = _joined([*kept, text[end:]])
    rest = _unpoliten(rest)
    return rest[:1].upper() + rest[1:]


def _joined(pieces: list[str]) -> str:
    rest = " ".join(piece.strip() for piece in pieces if piece.strip())
    rest = re.sub(r"\s+", " ", rest)
    rest = re.sub(r"\(\s*\)|\[\s*\]", "", rest).strip()
    rest = re.sub(r"\s+([,.;:!?])", r"\1", rest)
    rest = re.sub(r"[,;:]+\s*(?=[,.;:!?])", "", rest)
    return rest.strip()


def _unpoliten(rest: str) -> str:
    while (match := _POLITE.match(rest)) is not None and match.end():
        rest = rest[match.end() :]
        if match["told"]:
            rest = _AFTER_REMIND.sub("", rest, count=1)
    ended = re.sub(
        r"(?:\s+(?:is|are))?[,;]?\s*\bremind\s+(?:me|us)$", "", _TRAILING.sub("", rest), flags=re.IGNORECASE
    )
    return re.sub(r"[\s.]+$", "", ended).strip(" ,;:")


def title(instruction: str) -> str:
    """A few words for lists: the first sentence, cut between words; `Reminder` where there is nothing."""
    line = re.split(r"(?<=[.!?])\s|\n", instruction.strip(), maxsplit=1)[0].strip(" .")
    if len(line) <= _TITLE_LENGTH:
        return line or "Reminder"
    cut = line[:_TITLE_LENGTH].rsplit(" ", 1)[0]
    return f"{cut.rstrip(' ,;:')}…"
