"""The request in the prompt, and its words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hopyard_ai.when._clauses import spans

_LABEL = re.compile(
    r"^(Local time now|Time zone|Quiet hours|Request|The person answered): *(.*)$", re.MULTILINE
)
_WORD = re.compile(
    r"""
    (?P<quoted> "[^"\n]+" | “[^”\n]+” | (?<!\w)'[^'\n]+'(?!\w) )
  | (?P<value> [a-z][a-z0-9+.-]*://\S+ | [\w.+-]+@[\w-]+(?:\.[\w-]+)+ | (?<!\w)[~.]{0,2}/[\w./-]+ )
  | (?P<date> \d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)? )
  | (?P<number> [-+]?\d+(?:[.,:]\d+)* )
  | (?P<name> [A-Za-z]\w*(?:\.\w+)+ )
  | (?P<word> \w[\w'’-]* )
  | (?P<mark> \S )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a prompt asks for; `now` is aware, in the person's zone."""

    request: str
    now: datetime
    zone: str
    quiet_hours: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """One word, number, name (`site.weather`), mark or quoted text as written."""

    kind: str
    text: str
    start: int

    @property
    def lower(self) -> str:
        return self.text.lower()


def words_of(text: str) -> list[Word]:
    """Split a text; quoted texts, addresses, dates and dotted names are one word each."""
    return [
        Word(
            str(match.lastgroup),
            match.group()[1:-1] if match.lastgroup == "quoted" else match.group(),
            match.start(),
        )
        for match in _WORD.finditer(text)
    ]


def stem(word: str) -> str:
    """Return a word without its commonest English endings: `disks`, `checking` -> `disk`, `check`."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2 and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    return word.removesuffix("e") if len(word) > 3 else word


def name_words(name: str) -> list[str]:
    """Return the words of an identifier: `maintenance.system_health` -> maintenance, system, health."""
    return [part.lower() for part in re.split(r"[^a-zA-Z0-9]+|(?<=[a-z0-9])(?=[A-Z])", name) if part]


def asked(prompt: str) -> Asked:
    """Read a prompt. Without labelled lines (`Request: …`) the whole of it is the request."""
    labels: dict[str, str] = {}
    request = prompt
    for match in _LABEL.finditer(prompt):
        label, value = match.groups()
        if label == "Request":
            request = prompt[match.start(2) :]
            break
        labels.setdefault(label, value.strip())
    zone, now = _time(labels.get("Time zone"), labels.get("Local time now"))
    return Asked(request.strip(), now, zone, labels.get("Quiet hours") or None)


def without_holds(request: str) -> str:
    """Return a request without what says when not to act, such as `but not before 14:02:10`."""
    for first, end in reversed(spans(request)):
        request = request[:first] + request[end:]
    return request.strip(" ,")


def _time(zone: str | None, now: str | None) -> tuple[str, datetime]:
    try:
        place = ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        place = ZoneInfo("UTC")
    try:
        moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    except ValueError:
        moment = datetime.now(UTC)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=place)
    return place.key, aware.astimezone(place)
