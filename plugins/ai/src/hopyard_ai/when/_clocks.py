"""Times of day and lengths of time in a sentence."""

from __future__ import annotations

import re

from hopyard.errors import ScheduleError

from hopyard_ai.when._parts import Amount, Clock, Found
from hopyard_ai.when._tokens import UNIT_DAYS, UNIT_MONTHS, UNIT_SECONDS, Tokens, number_at, words

_NAMED = {"noon": Clock(12), "midday": Clock(12), "midnight": Clock(0)}
PARTS = {"morning": 8, "afternoon": 15, "evening": 19, "night": 20}
"""Parts of the day and the hour that one stands for where no time is given."""
_AT = ("at", "@", "around")
_MEASURES = words(
    "percent per cent degrees degree km kg g cm mm mb gb tb euro euros eur dollars usd pounds points items "
    "people places pages files times steps hz"
)
_LONGEST = 100 * 366 * 86400


def clocks(tokens: Tokens, at: int) -> Found | None:
    """`at 8`, `at 10:15`, `5pm`, `at noon`, `at 8 and 18`, `at half past eight`."""
    begin = at + 1 if tokens.word(at) in _AT else at
    strong = begin > at
    if tokens.word(begin) in ("about", "around", "exactly") and strong:
        begin += 1
    first = _clock(tokens, begin, bare=strong)
    if first is None:
        return None
    found, end = [first[0]], first[1]
    while (more := _another(tokens, end, bare=strong)) is not None:
        found.append(more[0])
        end = more[1]
    return Found("clock", tuple(found), at, end, strong)


def _another(tokens: Tokens, index: int, *, bare: bool) -> tuple[Clock, int] | None:
    """A further time of a list; not the number in `at 8 and 3 apples`."""
    begin = index
    while tokens.word(begin) in (",", "and", "&", "at"):
        begin += 1
    if begin == index or (nxt := _clock(tokens, begin, bare=bare)) is None:
        return None
    if tokens.kind(begin) != "number" or nxt[1] > begin + 1:
        return nxt
    follows = tokens.word(nxt[1])
    return None if follows in _MEASURES or (tokens.kind(nxt[1]) == "word" and follows.endswith("s")) else nxt


def _clock(tokens: Tokens, index: int, *, bare: bool) -> tuple[Clock, int] | None:
    word, kind = tokens.word(index), tokens.kind(index)
    if word in _NAMED:
        return _NAMED[word], index + 1
    if kind == "time":
        return _halved(tokens, [int(piece) for piece in word.split(":")], index + 1, word)
    if word in ("half", "quarter") and tokens.word(index + 1) in ("past", "to"):
        return _relative(tokens, index)
    if kind == "number":
        return _number(tokens, index, bare=bare)
    if (
        bare
        and kind == "word"
        and (number := number_at(tokens, index)) is not None
        and word not in ("a", "an")
    ):
        hour, end = int(number[0]), number[1]
        if hour <= 24:
            return _halved(tokens, [hour], end, word)
    return None


def _number(tokens: Tokens, index: int, *, bare: bool) -> tuple[Clock, int] | None:
    word, follows = tokens.word(index), tokens.word(index + 1)
    if "." in word and not re.fullmatch(r"[0-9]{1,2}\.[0-5][0-9]", word):
        return None
    pieces = [int(piece) for piece in word.split(".")]
    if follows in ("am", "pm", "o'clock", "o’clock"):
        return _halved(tokens, pieces, index + 1, word)
    if not bare or follows in _MEASURES or follows in ("%", "$", "€", "/") or pieces[0] > 24:
        return None
    if follows in ("h", "hours", "hrs"):
        return _halved(tokens, pieces, index + 2, word)
    return _halved(tokens, pieces, index + 1, word)


def _halved(tokens: Tokens, pieces: list[int], end: int, written: str) -> tuple[Clock, int]:
    """Apply a following am, pm or o'clock, and check."""
    hour, minute, second = (*pieces, 0, 0)[:3]
    half = tokens.word(end)
    plain = len(pieces) == 1
    if half in ("o'clock", "o’clock"):
        end, half = end + 1, tokens.word(end + 1)
    if half in ("am", "pm"):
        if not 1 <= hour <= 12:
            raise ScheduleError(
                f"`{written} {half}` is no time of day: hours before am and pm go from 1 to 12"
            )
        hour, end, plain = hour % 12 + (12 if half == "pm" else 0), end + 1, False
    if hour == 24 and not minute and not second:
        hour, plain = 0, False
    if hour > 23 or minute > 59 or second > 59:
        raise ScheduleError(f"`{written}` is no time of day: expected 00:00 to 23:59")
    return Clock(hour, minute, second, plain), end


def _relative(tokens: Tokens, index: int) -> tuple[Clock, int] | None:
    """`half past 8`, `quarter to nine`."""
    base = _clock(tokens, index + 2, bare=True)
    if base is None or base[0].minute:
        return None
    minutes = 30 if tokens.word(index) == "half" else 15
    sign = -1 if tokens.word(index + 1) == "to" else 1
    total = (base[0].hour * 60 + sign * minutes) % 1440
    return Clock(total // 60, total % 60, plain=base[0].plain), base[1]


def windows(tokens: Tokens, at: int) -> Found | None:
    """`between 9 and 17`, `from 9 to 17`: recognised so that it is refused, not overlooked."""
    joins = {"between": ("and",), "from": ("to", "until", "till", "-")}.get(tokens.word(at))
    if joins is None or (first := _clock(tokens, at + 1, bare=True)) is None:
        return None
    if tokens.word(first[1]) not in joins or (last := _clock(tokens, first[1] + 1, bare=True)) is None:
        return None
    return Found("window", "", at, last[1], strong=False)


def parts(tokens: Tokens, at: int) -> Found | None:
    """`in the morning`, `at night`, and a bare `morning` or `evening`, which counts beside a day."""
    begin = at
    if tokens.word(begin) in ("in", "at", "during"):
        begin += 1
    if tokens.word(begin) == "the":
        begin += 1
    word = tokens.word(begin)
    if word not in PARTS or (begin > at and tokens.word(at) == "at" and word != "night"):
        return None
    return Found("part", word, at, begin + 1, strong=begin == at + 2 or tokens.word(at) == "at")


def amount(tokens: Tokens, index: int) -> tuple[Amount, int] | None:
    """`20 minutes`, `an hour and a half`, `half an hour`, `2 hours and 15 minutes`, `3 weeks`."""
    total: Amount | None = None
    end = index
    while (piece := _piece(tokens, end if total is None else _after_and(tokens, end))) is not None:
        total = piece[0] if total is None else total + piece[0]
        end = piece[1]
    return (total, end) if total is not None else None


def _after_and(tokens: Tokens, index: int) -> int:
    return index + 1 if tokens.word(index) in ("and", ",") else index


def _piece(tokens: Tokens, index: int) -> tuple[Amount, int] | None:
    if tokens.word(index) == "half" and tokens.word(index + 1) in ("an", "a"):
        return _unit(tokens, 0.5, index + 2)
    if tokens.word(index) == "half" and tokens.word(index + 1) == "hour":
        return Amount(seconds=1800), index + 2
    quarter = index + 1 if tokens.word(index) == "a" else index
    if tokens.word(quarter) == "quarter" and tokens.word(quarter + 1) == "of":
        return _unit(tokens, 0.25, quarter + 3) if tokens.word(quarter + 2) == "an" else None
    if (number := number_at(tokens, index)) is None:
        return None
    value, end = number
    if tokens.word(end) == "and" and tokens.word(end + 1) == "a" and tokens.word(end + 2) == "half":
        return _unit(tokens, value + 0.5, end + 3)
    if (found := _unit(tokens, value, end)) is None:
        return None
    if [tokens.word(found[1] + step) for step in range(3)] == ["and", "a", "half"]:
        extra = _unit(tokens, 0.5, end)
        return (found[0] + extra[0], found[1] + 3) if extra is not None else None
    return found


def _unit(tokens: Tokens, value: float, index: int) -> tuple[Amount, int] | None:
    word = tokens.word(index)
    if word == "half" and tokens.word(index + 1) == "hours":  # "2 half hours" is nothing people say
        return None
    if word in UNIT_SECONDS:
        found = Amount(seconds=value * UNIT_SECONDS[word])
    elif word in UNIT_DAYS:
        whole = value * UNIT_DAYS[word]
        found = Amount(days=int(whole), seconds=round((whole - int(whole)) * 86400))
    elif word in UNIT_MONTHS and float(value * UNIT_MONTHS[word]).is_integer():
        found = Amount(months=int(value * UNIT_MONTHS[word]))
    else:
        return None
    if found.seconds + found.days * 86400 + found.months * 31 * 86400 > _LONGEST:
        raise ScheduleError(f"`{value:g} {word}` is too long: expected at most 100 years")
    return found, index + 1


def delays(tokens: Tokens, at: int) -> Found | None:
    """`in 20 minutes`, `after 2 hours`, `20 minutes from now`; `5 minutes ago` is found as past."""
    word = tokens.word(at)
    if word in ("in", "after") and (found := amount(tokens, at + 1)) is not None:
        end = found[1]
        if tokens.word(end) in ("'", "’") or tokens.word(end) == "time":
            end += 2 if tokens.word(end + 1) == "time" else 1
        return Found("delay", found[0], at, end)
    if (found := amount(tokens, at)) is None:
        return None
    follows = (tokens.word(found[1]), tokens.word(found[1] + 1))
    if follows == ("from", "now"):
        return Found("delay", found[0], at, found[1] + 2)
    return Found("past", "", at, found[1] + 1, strong=False) if follows[0] == "ago" else None


def spans(tokens: Tokens, at: int) -> Found | None:
    """`for the next 3 days`, `for 2 weeks`, beside a recurrence."""
    if tokens.word(at) != "for":
        return None
    begin = at + 1
    if tokens.word(begin) == "the":
        begin += 1
    if tokens.word(begin) == "next":
        begin += 1
    found = amount(tokens, begin)
    return Found("span", found[0], at, found[1], strong=False) if found is not None else None
