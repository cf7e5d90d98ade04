"""The request in the prompt, and its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hopyard_ai.offline._words import Word, words_of
from hopyard_ai.when._clauses import spans

_LABEL = re.compile(
    r"^(Local time now|Time zone|Quiet hours|Request|The person answered): *(.*)$", re.MULTILINE
)
_BOUNDARY = re.compile(r"[.!?;]\s+|\n+|,\s+|\s+(?:and|then|but|plus|as well as|also)\s+", re.IGNORECASE)
_NEGATED = re.compile(
    r"^\W*(?:(?:please|but|and|also|you|should|must|just)\s+)*"
    r"(?:do\s+not|don['’]?t|never|not|avoid|no\s+need\s+to)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a prompt asks for; `now` is aware, in the person's zone."""

    request: str
    now: datetime
    zone: str
    quiet_hours: str | None = None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a request with its words; `negated`: it says what is not to be done."""

    request: str
    start: int
    end: int
    words: tuple[Word, ...]
    negated: bool

    @property
    def text(self) -> str:
        return self.request[self.start : self.end]

    def joined(self, other: Clause) -> Clause:
        """This clause up to the end of a later one that says nothing by itself."""
        return clause(self.request, self.start, other.end)


def asked(prompt: str) -> Asked:
    """Read a prompt. Without labelled lines (`Request: …`) the whole of it is the request."""
    labels: dict[str, str] = {}
    answers: list[str] = []
    request = prompt
    for match in _LABEL.finditer(prompt):
        label, value = match.groups()
        if label == "Request":
            request = prompt[match.start(2) :]
            break
        if label == "The person answered":
            answers.append(value.strip())
        else:
            labels.setdefault(label, value.strip())
    zone, now = _time(labels.get("Time zone"), labels.get("Local time now"))
    return Asked(_queued_again(request.strip()), now, zone, labels.get("Quiet hours") or None, tuple(answers))


def _queued_again(request: str) -> str:
    """The request without what says when not to act: its numbers are no arguments."""
    for first, end in reversed(spans(request)):
        request = request[:first] + request[end:]
    return request.strip(" ,")


def _time(zone: str | None, now: str | None) -> tuple[str, datetime]:
    try:
        place = ZoneInfo(zone) if zone else ZoneInfo("UTC")
    except (ZoneInfoNotFoundError, ValueError):
        place = ZoneInfo("UTC")
    try:
        moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    except ValueError:
        moment = datetime.now(UTC)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=place)
    return place.key, aware.astimezone(place)


def clauses(request: str) -> list[Clause]:
    """Split a request at sentences, commas and conjunctions, not inside quoted text."""
    found: list[Clause] = []
    end = 0
    whole = [(word.start, word.end) for word in words_of(request) if word.kind in ("quoted", "url", "path")]
    for match in _BOUNDARY.finditer(request):
        if any(first < match.end() and match.start() < last for first, last in whole):
            continue
        found.append(clause(request, end, match.start()))
        end = match.end()
    found.append(clause(request, end, len(request)))
    return [item for item in found if item.words]


def clause(request: str, start: int, end: int) -> Clause:
    """The clause between two places of a request; places of its words count from its start."""
    text = request[start:end]
    return Clause(request, start, end, tuple(words_of(text)), _NEGATED.search(text) is not None)
