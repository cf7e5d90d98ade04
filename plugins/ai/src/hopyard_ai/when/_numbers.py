"""The grammar's table, which other modules fill further; here: numbers and lengths of time."""

from __future__ import annotations

from typing import Any

from hopyard_ai.when._parser import Grammar
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._values import Amount, Spec
from hopyard_ai.when._words import ORDINALS, SMALL, TENS

GRAMMAR = Grammar()
rule, words, terminal, look = GRAMMAR.rule, GRAMMAR.words, GRAMMAR.terminal, GRAMMAR.look


@look("after_timer")
def _after_timer(tokens: Tokens, index: int) -> bool:
    return tokens.word(index - 1) == "timer"


# Numbers


@terminal("digits")
def _digits(tokens: Tokens, index: int) -> int | None:
    text = tokens.word(index)
    return int(text) if tokens.kind(index) == "number" and text.isdigit() and len(text) <= 12 else None


@terminal("decimal")
def _decimal(tokens: Tokens, index: int) -> float | None:
    text = tokens.word(index)
    return float(text) if tokens.kind(index) == "number" and "." in text and len(text) <= 12 else None


@terminal("nth")
def _nth(tokens: Tokens, index: int) -> int | None:
    return int(tokens.word(index)[:-2]) if tokens.kind(index) == "ordinal" else None


words("small", SMALL | TENS)
words("nthword", ORDINALS)
words("tens", TENS)
words("unit", {name: number for name, number in SMALL.items() if 0 < number < 10})
words("unitth", {name: number for name, number in ORDINALS.items() if number < 10})


def same(value: Any) -> Any:
    """The meaning of a rule that only gives another name."""
    return value


rule("num", "<digits> ; <small>", to=same)
rule("ord", "<nth> ; <nthword>", to=same)
rule("real", "<num> ; <decimal>", to=same)
rule("ord", "<tens> -? <unitth>", to=lambda tens, unit: tens + unit)
rule("num", "<tens> -? <unit>", to=lambda tens, unit: tens + unit)
rule("real", "<num> and a half ; <num> ½", to=lambda number: number + 0.5)
rule("real", "a couple of?", to=lambda: 2.0)
rule("real", "a|an", to=lambda: 1.0)


# Lengths of time

words("second", dict.fromkeys(("s", "sec", "secs", "second", "seconds"), Amount(seconds=1)))
words("minute", dict.fromkeys(("m", "min", "mins", "minute", "minutes"), Amount(seconds=60)))
words("hour", dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), Amount(seconds=3600)))
words("longer", dict.fromkeys(("d", "day", "days"), Amount(days=1)))
words("longer", dict.fromkeys(("w", "wk", "wks", "week", "weeks"), Amount(days=7)))
words("longer", dict.fromkeys(("fortnight", "fortnights"), Amount(days=14)))
words("longer", dict.fromkeys(("month", "months"), Amount(months=1)))
words("longer", dict.fromkeys(("quarter", "quarters"), Amount(months=3)))
words("longer", dict.fromkeys(("year", "years"), Amount(months=12)))
rule("measure", "<second> ; <minute> ; <hour> ; <longer>", to=same)


@rule("length", "<real> <measure>")
def _length(number: float, unit: Amount) -> Amount | None:
    months, days = number * unit.months, number * unit.days
    if months != int(months) or months > 1200 or days > 36600 or number * unit.seconds > 36600 * 86400:
        return None
    return Amount(number * unit.seconds + round((days - int(days)) * 86400), int(days), int(months))


rule("length", "half an|a? hour ; half an|a hour", to=lambda: Amount(seconds=1800))
rule("length", "half a <longer> ; a? half <longer>", to=lambda unit: _length(0.5, unit))
rule("length", "a? quarter of an hour ; a? quarter hour", to=lambda: Amount(seconds=900))
rule("length", "three quarters of an hour", to=lambda: Amount(seconds=2700))
rule("length", "<real> <measure> and a half", to=lambda number, unit: _length(number + 0.5, unit))
rule("amount", "<length>", to=same)


@rule("amount", "<length> ,|and? <amount>")
def _longer_amount(length: Amount, rest: Amount) -> Amount | None:
    smaller = (rest.months, rest.days, rest.seconds) < (length.months, length.days, length.seconds)
    return length + rest if smaller else None


rule(
    "amount",
    "<digits> <hour> <digits>",
    to=lambda hours, _, minutes: (
        Amount(seconds=hours * 3600 + minutes * 60) if hours <= 999 and minutes < 60 else None
    ),
)


@rule(
    "delay",
    "in|after about|around|roughly|exactly|another? <amount> ; in <amount> '? time ; <amount> from now",
)
@rule("delay", "in <amount> from now ; in about? <amount> or so")
def _delay(amount: Amount) -> Spec:
    return Spec(delay=amount) if amount != Amount() else Spec(refused="nothing is to pass before it")


words("genitive", {"day's": Amount(days=1), "week's": Amount(days=7), "month's": Amount(months=1)})
words("genitive", {"year's": Amount(months=12), "hour's": Amount(seconds=3600)})


@rule("delay", "in <real> <genitive> time")
def _genitive(number: float, unit: Amount) -> Spec | None:
    amount = _length(number, unit)
    return Spec(delay=amount) if amount is not None else None


rule("delay", "<after_timer> for? <amount>", to=lambda _, amount: _delay(amount))
rule("delay", "<amount> ago", to=lambda _: Spec(refused="that is in the past"))
rule(
    "delay",
    "in <num> - <num> <measure> ; in <num> to|or <num> <measure>",
    to=lambda *_: Spec(refused="two lengths of time are given: say one"),
)
