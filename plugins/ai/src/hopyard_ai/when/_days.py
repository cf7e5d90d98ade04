"""The grammar of days: `tomorrow`, `next monday`, `on 24 December`, `on the last friday of the month`."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

from hopyard_ai.when._numbers import look, rule, same, terminal, words
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._values import Amount, Day, Nth, Spec
from hopyard_ai.when._words import DAYS, FULL_DAYS, HOLIDAYS, MONTHS, PLURAL_DAYS
from hopyard_ai.when._words import words as as_set

MONDAY_TO_FRIDAY = (0, 1, 2, 3, 4)
SATURDAY_SUNDAY = (5, 6)
PAST = "that is in the past"
TWO_DATES = "it can be read as two dates: write it as year-month-day, such as 2027-12-24"

words("weekday", DAYS)
words("shortday", {name: number for name, number in DAYS.items() if name not in FULL_DAYS})
words("fullday", FULL_DAYS)
words("plural", PLURAL_DAYS)
words("month", MONTHS)
words("holiday", HOLIDAYS)

# Dates


@terminal("year")
def _year(tokens: Tokens, index: int) -> int | None:
    text = tokens.word(index)
    return (
        int(text) if tokens.kind(index) == "number" and re.fullmatch(r"(?:19|2[0-9])[0-9]{2}", text) else None
    )


@terminal("numeric")
def _numeric(tokens: Tokens, index: int) -> Day | str | None:
    """A date in numbers; why it cannot be read where that is so."""
    text = tokens.word(index)
    if tokens.kind(index) != "date":
        return None
    pieces = [int(piece) for piece in re.split(r"[-./]", text) if piece]
    if re.match(r"[0-9]{4}", text):
        return _day(pieces[0], pieces[1], pieces[2])
    year = pieces[2] if len(pieces) == 3 else None
    if year is not None and year < 100:
        return TWO_DATES if "." not in text else _day(2000 + year, pieces[1], pieces[0])
    if "." in text:
        return _day(year, pieces[1], pieces[0])
    first, second = pieces[:2]
    if first <= 12 and second <= 12 and first != second:
        return TWO_DATES
    return _day(year, second, first) if second <= 12 else _day(year, first, second)


def _day(year: int | None, month: int, day: int) -> Day | str:
    try:
        date(year or 2024, month, day)  # a leap year, so that 29 February can come
    except ValueError:
        return f"there is no day {day} in month {month}" + (f" of {year}" if year else "")
    return Day(year=year, month=month, day=day)


rule("dayno", "<nth> ; <digits> ; <ordword>", to=lambda number: number if number < 100 else None)
rule("ordword", "<nthword> ; <tens> -? <unitth>", to=lambda *numbers: sum(numbers))
rule(
    "date",
    "<dayno> of? <month> ,? <year>? ; <dayno> - <month> - <year> ; <dayno> - <month>",
    to=lambda day, month, year=None: _day(year, month, day),
)
rule("date", "<month> .? the? <dayno> ,? <year>?", to=lambda month, day, year: _day(year, month, day))
rule("date", "<numeric>", to=same)
rule(
    "holidaydate",
    "<holiday> <year>? ; <holiday> this year",
    to=lambda found, year=None: Day(year=year, month=found[0], day=found[1]),
)
rule("date", "<holidaydate>", to=same)
rule(
    "date",
    "<weekday> .? ,? the? <date>",
    to=lambda weekday, day: replace(day, named=weekday) if isinstance(day, Day) else day,
)


def spec(day: Day | str, *, weak: bool = False) -> Spec:
    """What a day says; text says why it cannot be read."""
    return Spec(refused=day) if isinstance(day, str) else Spec(day=day, weak=weak)


rule("day", "on the? <date> ; <date> ; at <holidaydate>", to=lambda day: spec(day))
rule(
    "day",
    "the <dayno> of <month> ,? <year>?",  # `the 3 March report` is none, `the first of March` is
    to=lambda day, month, year: spec(_day(year, month, day)),
)
rule(
    "day",
    "on? the? <date> ,? <relyear> ; <relyear> ,? on the? <date>",
    to=lambda *found: _in_year(*sorted(found, key=lambda one: isinstance(one, int))),
)
words("relyear", {"this year": 0, "next year": 1, "of this year": 0, "of next year": 1})


def _in_year(day: Day | str, ahead: int) -> Spec | None:
    if isinstance(day, str) or day.year is not None:
        return spec(day) if isinstance(day, str) else None
    return Spec(day=replace(day, years=ahead))


rule(
    "day",
    "on? <weekday> .? ,? the <nth>",
    to=lambda weekday, number: (
        Spec(day=Day(day=number, named=weekday))
        if 1 <= number <= 31
        else Spec(refused="there is no such day")
    ),
)


# Days near this one

words("near", {"today": Day(offset=0), "tomorrow": Day(offset=1), "the? day after tomorrow": Day(offset=2)})
words("near", {"in 0 days": Day(offset=0)})
rule("day", "later? <near> ; <near>", to=lambda day: Spec(day=day))
rule(
    "day", "yesterday ; last night|week|month|year ; the day before yesterday", to=lambda: Spec(refused=PAST)
)
rule("day", "last <weekday>", to=lambda _: Spec(refused=PAST))
rule(
    "one",
    "on <weekday> ; on? this|coming <weekday> ; on? the coming|following <weekday> ; this coming <weekday>",
    to=lambda number: Day(weekday=number),
)
rule("one", "on? next <weekday> ; on the next <weekday>", to=lambda number: Day(weekday=number, later=True))
rule(
    "one",
    "on? <weekday> next week ; on? <weekday> of next week ; next week ,? on? <weekday>",
    to=lambda number: Day(weekday=number, week=1),
)
rule(
    "one",
    "on? <weekday> of? this week ; this week on? <weekday>",
    to=lambda number: Day(weekday=number, week=0),
)
rule(
    "one",
    "the week after next ,? on? <weekday> ; on? <weekday> the week after next",
    to=lambda number: Day(weekday=number, week=2),
)
rule(
    "one",
    "on? the? <weekday> after next",
    to=lambda number: Day(weekday=number, later=True, plus=Amount(days=7)),
)
rule("one", "this weekend ; at|on|over the weekend ; on? the coming weekend", to=lambda: Day(weekday=5))
rule("one", "next weekend", to=lambda: Day(weekday=5, week=1))
rule("day", "<one>", to=lambda day: Spec(day=day))
rule("day", "<shortday>", to=lambda number: Spec(day=Day(weekday=number), weak=True))
rule("day", "<fullday>", to=lambda number: Spec(day=Day(weekday=number)))


# Days counted from others

words("target", {"today": Day(offset=0), "tomorrow": Day(offset=1), "the day after tomorrow": Day(offset=2)})
rule("target", "<one> ; the? <date>", to=lambda day: day if isinstance(day, Day) else None)
rule("target", "<weekday>", to=lambda number: Day(weekday=number))
rule(
    "day",
    "<amount> from|on|after <target>",
    to=lambda amount, day: (
        Spec(day=replace(day, plus=amount)) if amount.calendar and not amount.seconds else None
    ),
)
rule("day", "on? the day before <target>", to=lambda day: Spec(day=replace(day, plus=Amount(days=-1))))
rule("day", "on? the day after <target>", to=lambda day: Spec(day=replace(day, plus=Amount(days=1))))
rule(
    "day",
    "<amount> before <target>",
    to=lambda amount, day: (
        Spec(day=replace(day, plus=-amount)) if amount.calendar and not amount.seconds else None
    ),
)
rule("shift", "the day before", to=lambda: Spec(shift=Amount(days=-1), weak=True))
rule("shift", "<amount> before", to=lambda amount: Spec(shift=-amount, weak=True))
rule("shift", "<amount> after", to=lambda amount: Spec(shift=amount, weak=True))


@rule("day", "on|in the <partname> of the? <date>")
def _part_of_date(part: Any, day: Any) -> Spec:
    return replace(spec(day), part=part)


# Days of a month

words(
    "position", {"last": -1, "penultimate": -2, "second last": -2, "second to last": -2, "last but one": -2}
)
words("position", {"third last": -3, "third to last": -3, "next to last": -2})
words(
    "working",
    dict.fromkeys(("working day", "business day", "weekday", "workday", "work day"), MONDAY_TO_FRIDAY),
)
words(
    "ofmonth", {"of the month": 0, "in the month": 0, "of this month": 0, "of next month": 1, "this month": 0}
)
words("ofmonth", {"next month": 1, "in this month": 0, "in next month": 1})
rule("position", "<ord>", to=lambda number: number if 1 <= number <= 5 else None)
rule("positions", "<position>", to=lambda number: (number,))
rule(
    "positions",
    "<position> ,|and|&|/ the? <positions> ; <position> , and the? <positions>",
    to=lambda number, rest: (number, *rest),
)
rule("nthday", "<positions> <weekday>", to=lambda numbers, weekday: Nth(numbers, (weekday,)))
rule("nthday", "<positions> <working>", to=lambda numbers, days: Nth(numbers, days, working=True))
rule(
    "day",
    "on? the? <nthday> <ofmonth>",
    to=lambda nth, offset: Spec(day=Day(nth=nth, month_offset=offset or None)),
)
rule(
    "day",
    "on? the? <nthday> of|in <month> <year>?",
    to=lambda nth, month, year: Spec(day=Day(nth=nth, month=month, year=year)),
)
rule("day", "on the <nthday>", to=lambda nth: Spec(day=Day(nth=nth)))


words(
    "numbered", {"last day": -1, "last": -1, "first day": 1, "penultimate day": -2, "second to last day": -2}
)
rule(
    "numbered",
    "<position> last day ; <position> to last day",
    to=lambda number: -number if number > 0 else None,
)


@look("no_counted")
def _no_counted(tokens: Tokens, index: int) -> bool:
    """Whether no word follows that is counted: `the 3rd floor`."""
    return tokens.word(index) not in _COUNTED


_COUNTED = as_set("""
    floor page chapter attempt item version column row street avenue edition shelf section paragraph platform
    lane week quarter month year century half person problem option sheet
""")


rule("numbered", "<ord> <no_counted> ; <ord> day", to=lambda number, _=None: number)
rule("numbers", "<numbered>", to=lambda number: (number,))
rule(
    "numbers",
    "<numbered> ,|and|&|/ the? <numbers> ; <numbered> , and the? <numbers>",
    to=lambda number, rest: (number, *rest),
)


def month_days(numbers: tuple[int, ...]) -> str | None:
    """Why these are no days of a month, or None."""
    wrong = [number for number in numbers if not (-31 <= number <= -1 or 1 <= number <= 31)]
    return f"{wrong[0]} is no day of a month: expected 1st to 31st" if wrong else None


def several(numbers: tuple[int, ...]) -> str | None:
    """Why days cannot be a single one, or None."""
    return "several days are named: say every for each month, or name one day" if len(numbers) > 1 else None


@rule("day", "on? the? <numbers> <ofmonth> ; by? the? <numbers> <ofmonth>")
def _day_of_month(numbers: tuple[int, ...], offset: int) -> Spec:
    why = month_days(numbers) or several(numbers)
    return Spec(refused=why) if why else Spec(day=Day(day=numbers[0], month_offset=offset or None))


@rule("day", "on the <numbers> ; the <nthnumbers> ; on <nthnumbers>")
def _day_number(numbers: tuple[int, ...]) -> Spec:
    why = month_days(numbers) or several(numbers)
    return Spec(refused=why) if why else Spec(day=Day(day=numbers[0]))


rule("nthnumbers", "<nth> <no_counted>", to=lambda number, _: (number,))
rule("nthnumbers", "<nth> ,|and|&|/ the? <nthnumbers>", to=lambda number, rest: (number, *rest))
rule(
    "day",
    "on? the? last day of <month> <year>?",
    to=lambda month, year: Spec(day=Day(day=-1, month=month, year=year)),
)
rule(
    "day",
    "at|on? the end of <month> <year>?",
    to=lambda month, year: Spec(day=Day(day=-1, month=month, year=year)),
)


words("ends", {"the? week": Day(end="week"), "this week": Day(end="week"), "this month": Day(day=-1)})
words(
    "ends",
    {"the? month": Day(day=-1), "next month": Day(day=-1, month_offset=1), "the? year": Day(end="year")},
)
words("ends", {"this year": Day(end="year")})
rule("day", "at|by|on? the end of <ends> ; at? month end", to=lambda day=None: Spec(day=day or Day(day=-1)))


START_OF_NEXT = {
    "week": Spec(day=Day(weekday=0, week=1)),
    "month": Spec(day=Day(day=1, month_offset=1)),
    "year": Spec(day=Day(day=1, month=1)),
}
rule("day", "at|on? the start|beginning of next <startunit>", to=lambda unit: START_OF_NEXT[unit])


words("startunit", {"week": "week", "month": "month", "year": "year"})

rule("day", "on? the? first day of the|next year", to=lambda: Spec(day=Day(day=1, month=1)))
rule("day", "on? the? last day of the|this year", to=lambda: Spec(day=Day(end="year")))
rule(
    "day",
    "this time next week ; at? the same time next week ; next week at this|the same? time",
    to=lambda: Spec(day=Day(offset=7), same_clock=True),
)


# What names no day

VAGUE = "it names no day: say on which one"
rule(
    "day",
    "next|this|coming week|month|year|quarter|spring|summer|autumn|winter|fall ; "
    "in the new year ; later this week|month|year ; the week|month|weekend after next ; "
    "sometime? next|this week|month|year",
    to=lambda: Spec(refused=VAGUE),
)
rule(
    "day",
    "in <year> ; in early|mid|late -? <month> ; in <month> <relyear>",
    to=lambda *_: Spec(refused=VAGUE),
)
rule(
    "vague",
    "at|by|before|until|till? the? end of the? day ; eod|eow|eom|cob ; "
    "at|by|before|until|till? the? close|start|end of business ; "
    "by|before|until|after lunch|noon ; "
    "at|after|before|around|over|during|by|until the? "
    "lunch|lunchtime|breakfast|dinner|supper|bedtime|teatime|tea ; "
    "at|after|before|around|until|by dawn|dusk|sunrise|sunset|daybreak|nightfall|work|school ; "
    "during the day|week|year ; "
    "during|in|within|outside|out office|business|working|work|of hours ; "
    "in a few|some <measure> ; in several|some <measure> ; in the next <amount> ; "
    "in the next few <measure> ; within|inside <amount> ; in under <amount> ; "
    "in less than <amount> ; within the <measure> ; asap ; as soon as possible ; "
    "every so often ; every now and then ; every once in a while ; from time to time ; "
    "later today|tonight|tomorrow ; later on ; sometime|someday ; sooner or later ; "
    "at the latest|earliest ; at the very latest|earliest ; - ish ; m|mo|mon - f|fr ; "
    "mo|di|mi|do|fr|sa|so|tu|we|th|su - mo|di|mi|do|fr|sa|so|tu|we|th|su ; "
    "bi|semi -? daily|weekly|monthly|yearly|annually|annual ; "
    "biweekly|bimonthly|biannually|semiannually ; every few|several <measure> ; "
    "on public|bank|school? holidays",
    to=lambda *_: Spec(refused="it does not say exactly when", weak=True),
)
