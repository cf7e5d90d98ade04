"""The grammar of where recurrences begin and end, and of what they leave out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hopyard_ai.when import _zones  # noqa: F401  # its rules are used here by their names
from hopyard_ai.when._days import START_OF_NEXT, month_days, spec
from hopyard_ai.when._numbers import rule, same, words
from hopyard_ai.when._repeats import _often  # noqa: F401
from hopyard_ai.when._values import Day, Except, Spec


@rule("moment", "on|at? <day> <clock>? ; <clock> ; <clock> <day> ; <instant> ; <clock> <zone>")
@rule("moment", "<day> <clock> <zone> ; <part>")
def _moment(*found: Any) -> Spec | None:
    whole = Spec()
    for one in found:
        joined = whole.joined(one) if one is not None else whole
        if joined is None:
            return None
        whole = joined
    return replace(whole, weak=False)


rule("moment", "<year>", to=lambda _: Spec(refused="a year names no day: say on which one"))
rule("moment", "<bare>", to=lambda clock: Spec(clocks=(clock,)))
rule("moment", "the? <date>", to=lambda day: spec(day))


@rule("moment", "the? <nthnumbers>")
def _nth_moment(numbers: tuple[int, ...]) -> Spec:
    return Spec(day=Day(day=numbers[0])) if len(numbers) == 1 else Spec(refused="several ends are named")


rule(
    "moment",
    "the? end of <ends> ; the? end of the? <month>",
    to=lambda day: Spec(day=Day(day=-1, month=day) if isinstance(day, int) else day),
)


@rule("endday", "<day> ; the? <date> ; the? <nthnumbers> ; the? end of <ends>")
def _end_day(day: Any) -> Spec:
    if isinstance(day, tuple):
        return _nth_moment(day)
    return day if isinstance(day, Spec) else spec(day)


@rule(
    "until",
    "but? only? until|till|til|thru|through ,? <moment> inclusive|included|inclusively? ; "
    "ending on|at? <moment> ; up to|until <moment> ; up to and including <moment> ; "
    "and ending on|at <moment>",
)
def _until(moment: Spec) -> Spec:
    if moment.refused:
        return Spec(refused=moment.refused, weak=True)
    return Spec(until=moment, weak=True)


rule("until", "through <month>", to=lambda month: Spec(until=Spec(day=Day(month=month, day=-1)), weak=True))
rule("until", "until|till|til in? <month>", to=lambda _: Spec(refused="say until which day", weak=True))
rule("start", "from|since|after|before <month>", to=lambda _: Spec(refused="say on which day", weak=True))
rule("until", "until further notice ; forever ; for ever ; indefinitely", to=lambda: Spec(weak=True))


rule(
    "start",
    "starting|beginning|commencing from|on? next <startunit> ; from next <startunit> on|onwards?",
    to=lambda unit: Spec(start=START_OF_NEXT[unit], weak=True),
)


@rule(
    "start",
    "starting|beginning|commencing from|on|at? <moment> ; as of <moment> ; from <day> on|onwards|onward?",
)
@rule(
    "start",
    "with effect from <day> ; from <date> on|onwards|onward? ; starts|begins|beginning|starting on <moment>",
)
def _start(moment: Any) -> Spec:
    moment = moment if isinstance(moment, Spec) else spec(moment)
    if moment.refused:
        return Spec(refused=moment.refused, weak=True)
    return Spec(start=moment, weak=True)


rule("start", "starting in <amount>", to=lambda amount: Spec(start=Spec(delay=amount), weak=True))
rule(
    "start",
    "starting|beginning|from now on? ; starting|effective immediately ; from now onwards",
    to=lambda: Spec(weak=True),
)


@rule("start", "from <day> <range> <endday> ; from <date> <range> <endday>")
@rule("start", "between <day> and <endday>")
def _start_until(first: Any, *rest: Any) -> Spec:
    last = rest[-1]
    first = first if isinstance(first, Spec) else spec(first)
    if first.refused or last.refused:
        return Spec(refused=first.refused or last.refused, weak=True)
    return Spec(start=first, until=last, weak=True)


rule(
    "start",
    "on? <num> -|– <num> <month> ; on? <month> <num> -|– <num>",
    to=lambda *_: Spec(refused="several days are named: say every day from … to …, or name one day"),
)
rule(
    "span",
    "for the? next? <amount> ; for the next <unitlength> ; over the next <amount>",
    to=lambda amount: Spec(span=amount, weak=True),
)
rule("unitlength", "<measure>", to=same)
rule(
    "span",
    "the next <amount> ; the following <amount>",
    to=lambda _: Spec(refused="several days are named: say every day for …"),
)
rule(
    "count",
    "for? <num> times altogether|only? ; for? <num> times in total ; for? <num> occurrences",
    to=lambda number: (
        Spec(count=number, weak=True)
        if 1 <= number <= 100_000
        else Spec(refused="expected 1 to 100000 times")
    ),
)
rule(
    "count",
    "twice|thrice only? ; max|maximum <num> times ; up to <num> times ; at most <num> times ; "
    "no more than <num> times",
    to=lambda *_: Spec(refused="say how many times at the end, such as 3 times", weak=True),
)
rule("count", "one time only? ; just|only? once only? ; a single time", to=lambda: Spec(count=1, weak=True))
rule("months", "in|during <monthlist>", to=lambda months: Spec(months=months, weak=True))
rule("monthlist", "<month>", to=lambda month: (month,))
rule(
    "monthlist",
    "<month> ,|and|&|/|or <monthlist> ; <month> , and <monthlist>",
    to=lambda month, rest: tuple(sorted({month, *rest})),
)
rule(
    "monthlist",
    "<month> to|-|–|until|through <month>",
    to=lambda first, last: tuple(
        sorted({(first - 1 + step) % 12 + 1 for step in range((last - first) % 12 + 1)})
    ),
)


# What is left out

words(
    "without",
    dict.fromkeys(("except", "except for", "except on", "but not", "but not on", "excluding"), True),
)
words(
    "without",
    dict.fromkeys(("apart from", "other than", "but", "not on", "not", "save", "minus", "without"), True),
)
words(
    "without",
    dict.fromkeys(("with the exception of", "except in", "but not in", "not in", "excepting"), True),
)
words(
    "without",
    dict.fromkeys(
        ("except during", "but not during", "aside from", "skip", "skipping", "but never on"), True
    ),
)
words("without", dict.fromkeys(("but skip", "unless it's", "unless it is", "barring", "bar"), True))
rule("unless", ",? <without> the? <days>", to=lambda _, days: Spec(unless=Except(weekdays=days), weak=True))
rule("unless", ",? <without> <monthlist>", to=lambda _, months: Spec(unless=Except(months=months), weak=True))


@rule("unless", ",? <without> on? the? <numbers> <themonth>?")
def _without_numbers(_: bool, numbers: tuple[int, ...], __: Any) -> Spec:
    why = month_days(numbers)
    return Spec(refused=why, weak=True) if why else Spec(unless=Except(days=numbers), weak=True)


rule(
    "unless",
    ",? <without> on? the? <date> ; ,? <without> the? <nthday> <themonth>? ; "
    ",? <without> at? <strong> ; ,? <without> <near> ; "
    ",? <without> from? <date> to|until|- <date> ; ,? <without> at <bare> ; "
    ",? <without> public|bank|school? holidays ; ,? <without> when|while|during|if",
    to=lambda *_: Spec(
        refused="an exception can name weekdays, months or days of the month, nothing else", weak=True
    ),
)


PIECES = (
    *("vague", "instant", "shift", "often", "repeat", "delay", "day", "clock", "part", "zone", "window"),
    *("until", "start", "span", "count", "months", "unless"),
)
"""What a phrase about time is made of."""
