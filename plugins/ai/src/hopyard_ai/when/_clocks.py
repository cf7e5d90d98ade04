"""The grammar of times of day, parts of the day, and moments as machines write them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from hopyard_ai.when._numbers import look, rule, same, terminal, words
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._values import Clock, Day, Spec
from hopyard_ai.when._words import PARTS, SMALL, TENS
from hopyard_ai.when._words import words as as_set

MEASURES = as_set("""
    percent degrees degree km kg g cm mm mb gb tb euro euros eur dollars usd pounds points items people
    persons places pages files times time steps hz % $ € £ metres meters miles per litres mph kmh
""")


@look("after_date")
def _after_date(tokens: Tokens, index: int) -> bool:
    return tokens.kind(index - 1) == "date"


@look("touching")
def _touching(tokens: Tokens, index: int) -> bool:
    return tokens.touches(index)


@look("no_measure")
def _no_measure(tokens: Tokens, index: int) -> bool:
    """Whether no measure follows: `20 degrees` is no time of day."""
    return tokens.word(index) not in MEASURES


@terminal("dotted")
def _dotted(tokens: Tokens, index: int) -> Clock | None:
    text = tokens.word(index)
    if tokens.kind(index) != "number" or not re.fullmatch(r"[0-9]{1,2}\.[0-9]{2}", text):
        return None
    return Clock(int(text[:-3]), int(text[-2:]), plain=int(text[:-3]) <= 12)


@terminal("colon")
def _colon(tokens: Tokens, index: int) -> Clock | None:
    text = tokens.word(index)
    if tokens.kind(index) != "time" or text.startswith(":"):
        return None
    hour, minute, second = (*(int(piece) for piece in text.split(":")), 0)[:3]
    return _checked(Clock(hour, minute, second, plain=hour <= 12 and not text.startswith("0")))


@terminal("past")
def _past(tokens: Tokens, index: int) -> tuple[int, ...] | None:
    text = tokens.word(index)
    return (int(text[1:]),) if re.fullmatch(r":[0-5][0-9]", text) else None


@terminal("military")
def _military(tokens: Tokens, index: int) -> Clock | None:
    text = tokens.word(index)
    if tokens.kind(index) != "number" or not re.fullmatch(r"[0-2][0-9][0-5][0-9]", text) or int(text) > 2400:
        return None
    return Clock(int(text[:2]) % 24, int(text[2:]))


rule(
    "hour12",
    "<num> <no_measure>",
    to=lambda hour, _: Clock(hour % 24, plain=0 < hour <= 12) if hour <= 24 else None,
)


def _checked(clock: Clock) -> Clock:
    """An impossible time keeps its numbers; it is refused where it is used."""
    return (
        replace(clock, hour=0, plain=False, named=True)
        if clock.hour == 24 and not clock.minute + clock.second
        else clock
    )


words("half", {"am": 0, "pm": 12})
rule("bare", "<hour12> ; <dotted> ; <military>", to=same)
rule(
    "hundreds",
    "<num> hundred ; zero|oh|o <unit> hundred",
    to=lambda hour: Clock(hour % 24) if hour <= 24 else None,
)
rule("bare", "<hundreds>", to=same)
rule("strong", "<hundreds> hours|hrs ; <military> hours|hrs", to=same)
rule("strong", "<colon>", to=same)
rule("strong", "<after_date> <dotted>", to=lambda _, clock: clock)


@rule("strong", "<hour12> o'clock? <half> ; <colon> <half> ; <dotted> <half> ; <spoken> <half>")
def _halved(clock: Clock, half: int) -> Clock:
    if not 1 <= clock.hour <= 12:
        return Clock(clock.hour + 100, clock.minute)  # `13pm` is no time of day
    return Clock(clock.hour % 12 + half, clock.minute, clock.second)


@rule("strong", "<hour12> o'clock")
@rule("bare", "<spoken>")
@rule("strong", "<digits> h ; <digits> h <digits> ; <colon> h|hrs|hours")
def _oclock(clock: Any, minute: int | None = None) -> Clock | None:
    if isinstance(clock, Clock):
        return clock
    return Clock(clock % 24, minute or 0) if clock <= 24 and (minute or 0) < 60 else None


rule(
    "spoken",
    "<hour12> -? <minutes> ; <hour12> oh|o <unit>",
    to=lambda clock, minutes: replace(clock, minute=minutes) if minutes < 60 else None,
)


words("minutes", {name: number for name, number in (SMALL | TENS).items() if number >= 10})
rule("minutes", "<tens> -? <unit>", to=lambda tens, unit: tens + unit)
rule("spoken", "half past <hour12>", to=lambda clock: replace(clock, minute=30))
rule("spoken", "a? quarter past|after <hour12>", to=lambda clock: replace(clock, minute=15))
rule(
    "spoken",
    "a? quarter to|of|before|til|till <hour12>",
    to=lambda clock: replace(clock, hour=_before(clock), minute=45),
)
rule(
    "spoken",
    "<tofive> past|after <hour12> ; <num> minutes|min|mins past|after <hour12>",
    to=lambda minutes, clock: replace(clock, minute=minutes) if 0 < minutes < 60 else None,
)
rule(
    "spoken",
    "<tofive> to|before|til|till <hour12> ; <num> minutes|min|mins to|before|til|till <hour12>",
    to=lambda minutes, clock: (
        replace(clock, hour=_before(clock), minute=60 - minutes) if 0 < minutes < 60 else None
    ),
)


rule("tofive", "<num>", to=lambda number: number if number in (5, 10, 20, 25) else None)


def _before(clock: Clock) -> int:
    return 12 if clock.plain and clock.hour == 1 else (clock.hour - 1) % 24


# `quarter past 6` is a time wherever it stands, `three thirty` only after `at`.
rule("strong", "<spoken>", to=lambda clock: clock if clock.minute else None)


NOON = {"noon": Clock(12), "midday": Clock(12), "12 noon": Clock(12), "12 midday": Clock(12)}
words("strong", NOON | {"midnight": Clock(0, named=True), "12 midnight": Clock(0, named=True)})
rule(
    "strong",
    "<colon> noon|midday",
    to=lambda clock: Clock(12) if (clock.hour, clock.minute) == (12, 0) else None,
)
rule("exact", "<any> sharp|exactly|precisely ; <any>", to=same)
rule("any", "<strong> ; <bare>", to=same)
rule("strongs", "<strong>", to=lambda clock: (clock,))
rule("clocks", "<exact>", to=lambda clock: (clock,))
rule(
    "clocks",
    "<clocks1> ,? and|& <exact> ; <clocks1> ,|/|then|at <exact> ; "
    "<clocks1> , and at <exact> ; <clocks1> and at <exact> ; <clocks1> and again at <exact>",
    to=lambda clocks, clock: (*clocks, clock),
)
rule("clocks1", "<exact>", to=lambda clock: (clock,))
rule("clocks1", "<exact> , <clocks1>", to=lambda clock, rest: (clock, *rest))
rule(
    "strongs",
    "<strong> ,|and|&|/ <strongs> ; <strong> and at <strongs>",
    to=lambda clock, rest: (clock, *rest),
)


@rule(
    "clock",
    "at|@ about|around|exactly|roughly|approximately|precisely? <clocks> ; "
    "exactly|precisely|punctually at <clocks> ; at about? <clocks> or so ; "
    "around|about|circa <clocks>",
)
@rule("clock", "<strongs> ; <strong> sharp|exactly|precisely")
def _clock_spec(clocks: Any) -> Spec:
    clocks = clocks if isinstance(clocks, tuple) else (clocks,)
    if any(clock.hour > 23 or clock.minute > 59 or clock.second > 59 for clock in clocks):
        return Spec(refused="there is no such time of day: expected 00:00 to 23:59, or 1 to 12 with am or pm")
    afternoon = [clock.hour - 12 for clock in clocks if not clock.plain and clock.hour > 12]
    if afternoon and any(clock.plain and clock.hour < max(afternoon) for clock in clocks):
        return Spec(refused="it is not clear whether pm belongs to all times: say it with each")
    return Spec(clocks=clocks)


rule(
    "clock",
    "at half <hour12> ; half <num> o'clock?",
    to=lambda _: Spec(refused="“half eight” is 7:30 or 8:30: say half past seven or half past eight"),
)
rule(
    "clock",
    "at <date>",
    to=lambda _: Spec(refused="a date stands where a time of day is expected: say on for a date"),
)


@rule("clock", "at|on <past> ; at minute <num> ; at <num> minutes? past the hour ; at <num> past")
def _past_the_hour(minutes: Any) -> Spec | None:
    found = minutes if isinstance(minutes, tuple) else (minutes,)
    return Spec(minutes=found) if found[0] < 60 else None


rule("clock", "on the hour ; at the full hour", to=lambda: Spec(minutes=(0,)))
rule("clock", "at|on the half hour ; at half past", to=lambda: Spec(minutes=(30,)))
rule("clock", "at a? quarter past", to=lambda: Spec(minutes=(15,)))
rule("clock", "this time ; at? the same time", to=lambda: Spec(same_clock=True, weak=True))
rule(
    "window",
    "between <exact> and <exact> ; from <exact> to|until|till|- <exact>",
    to=lambda first, last: Spec(window=(first, last), weak=True),
)


# Parts of the day

words("partname", {name: name for name in PARTS})
rule("part", "in|during the <partname>", to=lambda name: Spec(part=name))
rule("part", "at night", to=lambda: Spec(part="night"))
rule("part", "<partname>", to=lambda name: Spec(part=name, weak=True))
rule("part", "first thing in the morning", to=lambda: Spec(part="morning"))
rule("part", "first thing", to=lambda: Spec(refused="it does not say exactly when", weak=True))
rule("part", "this <partname>", to=lambda name: Spec(day=Day(offset=0), part=name))
rule("part", "tonight", to=lambda: Spec(day=Day(offset=0), part="night"))


# Moments as machines write them


@terminal("iso")
def _iso(tokens: Tokens, index: int) -> datetime | None:
    if tokens.kind(index) != "instant":
        return None
    try:
        return datetime.fromisoformat(re.sub(r" (?=[z+-])", "", tokens.word(index)).upper())
    except ValueError:
        return datetime.min  # refused where it is used


@rule("instant", "at|on? <iso>")
def _instant(moment: datetime) -> Spec:
    if moment.tzinfo is None:
        return Spec(refused="there is no such date and time")
    return Spec(instant=moment)
