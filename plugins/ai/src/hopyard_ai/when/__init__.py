"""Plain-English times: `every weekday at 8:00 tell me the weather` becomes a rule and an instruction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hopyard import Rule
from hopyard.errors import ScheduleError

from hopyard_ai.when import _clauses, _sentence
from hopyard_ai.when._choice import choose
from hopyard_ai.when._numbers import GRAMMAR
from hopyard_ai.when._parser import Parse
from hopyard_ai.when._phrases import phrases
from hopyard_ai.when._rule import rule_of
from hopyard_ai.when._sentence import reminds
from hopyard_ai.when._tokens import tokenize
from hopyard_ai.when._words import words

__all__ = ["Request", "not_before", "parse", "plain", "reminds", "words"]

#: Characters of a request, at most.
LONGEST: Final = 4000


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for, and when.

    instruction  the sentence without its time phrase; empty where it held nothing else
    title        a few words for lists
    phrase       what was understood, e.g. `every weekday at 08:00 Europe/Berlin`
    recurring    whether it comes again and again
    reminder     whether the person wants to be told, not to have something done
    """

    rule: Rule
    instruction: str
    title: str
    phrase: str
    recurring: bool
    reminder: bool


def parse(text: str, *, now: datetime, zone: str) -> Request:
    """Read when and what from an English sentence, said at `now` (aware) by somebody in `zone` (IANA).

    The rule's first due time is after `now`. A time that cannot be understood, is missing, ambiguous or
    in the past raises ScheduleError, which says what and gives phrasings that work.
    """
    place = _place(now, zone)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ScheduleError("the request has halves of characters in it, expected whole ones")
    if not text.strip():
        raise ScheduleError("the request is empty; say what and when, such as `call Bob tomorrow at 9:00`")
    if len(text) > LONGEST:
        raise ScheduleError(f"the request has {len(text)} characters, expected at most {LONGEST}")
    try:
        return _parse(text, now, place)
    except (OverflowError, ValueError) as error:  # beyond what a calendar can hold
        raise ScheduleError(f"the time in `{text.strip()[:80]}` is beyond the calendar") from error


def not_before(text: str, now: datetime, zone: str) -> datetime | None:
    """The moment before which clauses such as `but not before 14:02:10` forbid to act; None if none does now.

    A time of day alone means that of today. Raises ScheduleError for a zone that does not exist.
    """
    place = _place(now, zone)
    try:
        return _clauses.not_before(text[:LONGEST], now, place)
    except (OverflowError, ValueError) as error:
        raise ScheduleError(f"a time in `{text.strip()[:80]}` is beyond the calendar") from error


def plain(text: str) -> str:
    """The sentence without words of courtesy and `remind me to`; its time stays in it."""
    return _sentence.without(text, ())


def _parse(text: str, now: datetime, zone: ZoneInfo) -> Request:
    masked = text
    for first, end in _clauses.spans(text):
        masked = masked[:first] + "\0" * (end - first) + masked[end:]
    tokens = tokenize(masked)
    _sentence.check(text)
    choice = choose(text, tokens, phrases(tokens, Parse(GRAMMAR, tokens)))
    from hopyard.schedules import describe

    rule = rule_of(choice.spec, now, zone)
    places = [(tokens[first].start, tokens[end - 1].end) for first, end in choice.spans]
    instruction = _sentence.without(text, places)
    return Request(
        rule=rule,
        instruction=instruction,
        title=_sentence.title(instruction),
        phrase=describe(rule, now=now, zone=zone.key),
        recurring=rule.at is None,
        reminder=reminds(text),
    )


def _place(now: datetime, zone: str) -> ZoneInfo:
    if now.tzinfo is None:
        raise ScheduleError(f"now: found {now.isoformat()} without a zone, expected an aware datetime")
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"zone: found {zone!r}, expected an IANA name such as Europe/Berlin") from error
