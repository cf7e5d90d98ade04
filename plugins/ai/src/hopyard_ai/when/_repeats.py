"""The grammar of recurrences and of their ends: `every …`, `daily`, `until …`, `except …`, `three times`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hopyard_ai.when._days import MONDAY_TO_FRIDAY, SATURDAY_SUNDAY, month_days
from hopyard_ai.when._numbers import rule, same, words
from hopyard_ai.when._values import RANGE, Amount, Clock, Day, Nth, Repeat, Spec
from hopyard_ai.when._words import DAY_NAMES

DAILY, WEEKLY, MONTHLY, YEARLY = Repeat("DAILY"), Repeat("WEEKLY"), Repeat("MONTHLY"), Repeat("YEARLY")
WORKDAYS = replace(WEEKLY, weekdays=MONDAY_TO_FRIDAY)
WEEKENDS = replace(WEEKLY, weekdays=SATURDAY_SUNDAY)

words("adverb", {"daily": DAILY, "weekly": WEEKLY, "monthly": MONTHLY, "yearly": YEARLY, "annually": YEARLY})
words(
    "adverb",
    {"hourly": Repeat(seconds=3600), "fortnightly": Repeat("WEEKLY", 2), "quarterly": Repeat("MONTHLY", 3)},
)
QUARTER = replace(
    Repeat("MONTHLY", 3),
    unclear="it does not say in which months: say when it begins, such as starting on 1 April, or name them, "
    "such as every January, April, July and October on the 1st",
)
rule(
    "repeat",
    "every|each quarter ; quarterly ; once a|per|every|each quarter",
    to=lambda: Spec(repeat=QUARTER),
)
rule("bareperiod", "every|each quarter ; quarterly", to=lambda: QUARTER)
rule("repeat", "<adverb>", to=lambda repeat: Spec(repeat=repeat))
rule(
    "repeat",
    "everyday ; day in ,? day out ; each and every day ; every single day ; "
    "every day of the week ; all day every day ; 7|seven days a week",
    to=lambda: Spec(repeat=DAILY),
)
rule("repeat", "once <adverb>", to=lambda repeat: Spec(repeat=repeat))
rule("often", "twice|thrice daily", to=lambda: Spec(repeat=DAILY, often=2))
rule("often", "<num> times daily", to=lambda number: Spec(repeat=DAILY, often=number))
rule(
    "often",
    "twice|thrice weekly|monthly|yearly ; <num> times weekly|monthly|yearly",
    to=lambda *_: Spec(refused="the days are missing: say on which"),
)
rule("repeat", "nightly", to=lambda: Spec(repeat=DAILY, part="night"))


# Every so many units

words(
    "each",
    dict.fromkeys(("every", "each", "once every", "once each", "in every", "on every", "on each"), True),
)


@rule("step", "<amount>")
def _step(amount: Amount) -> Repeat | str | None:
    if amount == Amount():
        return "a recurrence needs more than nothing between its times"
    if amount.seconds:
        whole = not amount.calendar and 1 <= amount.seconds <= 366 * 86400
        return Repeat(seconds=float(amount.seconds)) if whole else None
    if amount.days and amount.months:
        return None
    if amount.months:
        years, months = divmod(amount.months, 12)
        return Repeat("MONTHLY", amount.months) if months else Repeat("YEARLY", years)
    weeks, days = divmod(amount.days, 7)
    return Repeat("DAILY", amount.days) if days else Repeat("WEEKLY", weeks)


rule("unitstep", "<measure>", to=lambda unit: _step(unit))


@rule("repeat", "<each> <step> ; <each> <unitstep> ; once a|per|every|each <unitstep>")
def _every(*found: Any) -> Spec:
    repeat = found[-1]
    return Spec(refused=repeat) if isinstance(repeat, str) else Spec(repeat=repeat)


@rule("repeat", "<each> <measure> and a half")
def _every_and_a_half(_: bool, unit: Amount) -> Spec | None:
    repeat = _step(Amount(unit.seconds * 1.5))
    return Spec(repeat=repeat) if isinstance(repeat, Repeat) and unit.seconds else None


rule("repeat", "<each> 7|seven days", to=lambda _: Spec(repeat=Repeat("DAILY", 7)))
rule("nthstep", "<ord>", to=lambda number: number if number > 1 else None)


words("nthstep", {"other": 2, "alternate": 2})


@rule("repeat", "<each> <nthstep> <unitstep>")
def _every_nth(_: bool, number: int, repeat: Any) -> Spec | None:
    if not isinstance(repeat, Repeat):
        return None
    if repeat.seconds:
        return Spec(repeat=replace(repeat, seconds=repeat.seconds * number))
    return Spec(repeat=replace(repeat, interval=repeat.interval * number))


# Weekdays

words("range", dict.fromkeys(("to", "till", "until", "through", "thru", "-", "–", "—"), True))
rule("dayname", "<weekday> ; <plural>", to=same)
rule("dayspan", "<dayname>", to=lambda number: (number,))


@rule("dayspan", "from? <dayname> <range> <dayname>")
def _dayspan(first: int, _: bool, last: int) -> tuple[int, ...]:
    return tuple((first + step) % 7 for step in range((last - first) % 7 + 1))


words(
    "dayspan", dict.fromkeys(("weekday", "weekdays", "workday", "workdays", "working day"), MONDAY_TO_FRIDAY)
)
words(
    "dayspan", dict.fromkeys(("working days", "business day", "business days", "work day"), MONDAY_TO_FRIDAY)
)
words("dayspan", dict.fromkeys(("weekend", "weekends", "weekend day", "weekend days"), SATURDAY_SUNDAY))
rule("days", "<dayspan>", to=lambda found: tuple(sorted(set(found))))
rule(
    "days",
    "<dayspan> ,|and|&|/|+ every|each|on? <days> ; <dayspan> , and on|every? <days>",
    to=lambda found, rest: tuple(sorted({*found, *rest})),
)
rule(
    "repeat",
    "<each> <days> ; <each> single <days> ; <each> <days> of|in the month|week|year",
    to=lambda _, days: Spec(repeat=replace(WEEKLY, weekdays=days)),
)
rule(
    "repeat",
    "<each> other|alternate <dayname> ; <each> other|second|alternate weekend|weekends",
    to=lambda _, day=None: Spec(
        repeat=Repeat("WEEKLY", 2, weekdays=SATURDAY_SUNDAY if day is None else (day,))
    ),
)
rule(
    "repeat",
    "<each> <nthstep> weekday|workday",
    to=lambda *_: Spec(refused="every so many weekdays cannot be told by a calendar: name the days"),
)
rule("pluraldays", "<plural>", to=lambda number: (number,))
rule(
    "pluraldays",
    "<plural> ,|and|&|/ <pluraldays> ; <plural> , and <pluraldays>",
    to=lambda number, rest: tuple(sorted({number, *rest})),
)


rule(
    "until",
    "for the rest of the? <ends> ; for the remainder of the? <ends>",
    to=lambda day: Spec(until=Spec(day=day), weak=True),
)
rule("until", "for the rest of the|today? day?", to=lambda: Spec(until=Spec(day=Day(offset=0)), weak=True))
rule("count", "<num> <touching> x", to=lambda number, _: Spec(count=number, weak=True))
words("pluraldays", {"weekdays": MONDAY_TO_FRIDAY, "workdays": MONDAY_TO_FRIDAY, "weekends": SATURDAY_SUNDAY})
words("pluraldays", {"working days": MONDAY_TO_FRIDAY, "business days": MONDAY_TO_FRIDAY})
rule(
    "repeat",
    "but? only? on|at|all? all? <pluraldays> only?",
    to=lambda days: Spec(repeat=replace(WEEKLY, weekdays=days)),
)


@rule("repeat", "on? <dayname> <range> <dayname>")
@rule("repeat", "from <plural> <range> <dayname>")
def _days_of_each_week(first: int, _: bool, last: int, *, unclear: bool = False) -> Spec:
    days = tuple(sorted(_dayspan(first, True, last)))
    ranged = days != MONDAY_TO_FRIDAY  # which are the working week, of each week
    return Spec(repeat=replace(WEEKLY, weekdays=days, ranged=ranged, unclear=RANGE if unclear else ""))


@rule("repeat", "from <weekday> <range> <weekday>")
def _from_day_to_day(first: int, _: bool, last: int) -> Spec:
    return _days_of_each_week(first, True, last, unclear=(first, last) != (0, 4))


rule(
    "repeat",
    "between <weekday> and <weekday>",
    to=lambda first, last: _days_of_each_week(first, True, last, unclear=True),
)


@rule(
    "repeat",
    "from? <dayname> <range> <dayname> next week ; "
    "from? <dayname> <range> <dayname> of next week ; "
    "next week from? <dayname> <range> <dayname>",
)
def _range_next_week(first: int, _: bool, last: int) -> Spec:
    start, end = Spec(day=Day(weekday=first, week=1)), Spec(day=Day(weekday=last, week=1))
    return Spec(repeat=DAILY, start=start, until=end)


rule(
    "repeat",
    "on? <severaldays>",
    to=lambda _: Spec(
        refused="several days are named: say every, such as every Monday and Thursday, or name one day"
    ),
)
rule(
    "severaldays",
    "<weekday> ,|and|&|/|or|+ on? <days> ; <weekday> , and|or on? <days>",
    to=lambda first, rest: (first, *rest),
)


@rule(
    "repeat", "<each> <step> on <days> ; <each> <unitstep> on <days> ; <each> <nthstep> <unitstep> on <days>"
)
@rule("repeat", "<adverb> on <days> ; once a <unitstep> on <days>")
def _weeks_on_days(*found: Any) -> Spec | None:
    *_, repeat, days = found
    number = found[1] if len(found) == 4 else 1
    if not isinstance(repeat, Repeat) or repeat.freq != "WEEKLY":
        return None
    return Spec(repeat=replace(repeat, interval=repeat.interval * number, weekdays=days))


# Parts of the day
rule("repeat", "<each> <partname>", to=lambda _, part: Spec(repeat=DAILY, part=part))
rule(
    "repeat",
    "<each> other|second|alternate <partname>",
    to=lambda _, part: Spec(repeat=Repeat("DAILY", 2), part=part),
)
rule("repeat", "<each> noon|midday", to=lambda _: Spec(repeat=DAILY, clocks=(Clock(12),)))
rule("repeat", "<each> midnight", to=lambda _: Spec(repeat=DAILY, clocks=(Clock(0),)))


words("parts", {"mornings": "morning", "afternoons": "afternoon", "evenings": "evening", "nights": "night"})
rule(
    "repeat",
    "on? <dayspan> <parts>",
    to=lambda days, part: Spec(repeat=replace(WEEKLY, weekdays=tuple(sorted(days))), part=part),
)
rule("repeat", "in the <parts>", to=lambda part: Spec(refused=f"say every {part}", weak=True))


# Days of the month and of the year

words("eachmonth", dict.fromkeys(("of every month", "of each month", "of all months", "every month"), True))
words(
    "eachmonth", dict.fromkeys(("each month", "in every month", "in each month", "monthly", "a month"), True)
)
words(
    "themonth",
    dict.fromkeys(("of the month", "of a month", "in the month", "of every month", "of each month"), True),
)


@rule("repeat", "on? the? <numbers> <eachmonth> ; every|each <numbers> <themonth> ; every|each <everyno>")
@rule("repeat", "every|each <everyno> and the? last")
def _month_days(numbers: tuple[int, ...], _: Any = None) -> Spec:
    why = month_days(numbers)
    return Spec(refused=why) if why else Spec(repeat=replace(MONTHLY, days=tuple(sorted(set(numbers)))))


rule("everyno", "<nthnumbers>", to=same)


words("everyno", {"last day": (-1,)})


@rule("repeat", "<bareperiod> on the? <numbers> <themonth>?")
def _monthly_on(repeat: Repeat, numbers: tuple[int, ...], _: Any) -> Spec:
    why = month_days(numbers)
    if why is None and repeat.interval > 1 and -1 in numbers:
        why = "it does not say in which months: name them, or say starting on a date"
    return Spec(refused=why) if why else Spec(repeat=replace(repeat, days=tuple(sorted(set(numbers)))))


@rule("bareperiod", "<each> <step> ; <each> <unitstep> ; <each> <nthstep> <unitstep> ; <adverb>")
def _bare_period(*found: Any) -> Repeat | None:
    repeat, number = found[-1], found[1] if len(found) == 3 else 1
    if not isinstance(repeat, Repeat) or repeat.freq != "MONTHLY":
        return None
    return replace(repeat, interval=repeat.interval * number)


@rule("repeat", "<bareperiod> on the? <nthday> <themonth>?")
def _monthly_nth(repeat: Repeat, nth: Nth, _: Any) -> Spec:
    if repeat.interval > 1:
        return Spec(refused="it does not say in which months: name them, or say starting on a date")
    return Spec(repeat=replace(repeat, nth=nth))


rule(
    "repeat",
    "on? the? <nthday> <eachmonth> ; every|each <nthday> <themonth>",
    to=lambda nth, _: Spec(repeat=replace(MONTHLY, nth=nth)),
)


@rule("repeat", "<each> <nthday>")
def _every_nth_day(_: bool, nth: Nth) -> Spec:
    if nth.numbers == (2,) and not nth.working:
        name = DAY_NAMES[nth.days[0]]
        return Spec(refused=f"say every other {name}, or the second {name} of every month")
    return Spec(repeat=replace(MONTHLY, nth=nth))


rule(
    "repeat",
    "on? the? <nthday> of|in every|each <month> ; every|each <nthday> of|in <month> ; "
    "every|each year on the? <nthday> of|in <month> ; "
    "on? the? <nthday> of|in <month> every|each year",
    to=lambda nth, month: Spec(repeat=replace(YEARLY, nth=nth, months=(month,))),
)
rule("dates", "<date>", to=lambda day: (day,))
rule("dates", "<date> ,|and|& on? <dates> ; <date> , and on? <dates>", to=lambda day, rest: (day, *rest))


@rule("repeat", "every|each <dates> ; every|each year on the? <dates> ; yearly|annually on the? <dates>")
@rule(
    "repeat",
    "on? the? <dates> ,? every|each year ; on? the? <dates> ,? yearly|annually ; once a year on <dates>",
)
def _every_date(days: tuple[Any, ...]) -> Spec:
    for day in days:
        if isinstance(day, str):
            return Spec(refused=day)
        if day.year or day.named is not None:
            return Spec(refused="a date with a year comes once")
    months, numbers = sorted({day.month for day in days}), sorted({day.day for day in days})
    if len(months) * len(numbers) != len(days):
        return Spec(refused="several dates of different months are named: ask once for each")
    return Spec(repeat=replace(YEARLY, months=tuple(months), days=tuple(numbers)))


words("startof", {"start": 1, "beginning": 1, "first day": 1, "end": -1, "last day": -1})
words("endperiod", {"week": "week", "month": "month", "quarter": "quarter", "year": "year"})


@rule("repeat", "at|on? the <startof> of every|each <endperiod> ; every|each <endperiod> at|on the <startof>")
@rule("repeat", "every|each <endperiod> end")
def _ends_of_periods(*found: Any) -> Spec | None:
    number = next((one for one in found if isinstance(one, int)), -1)
    period = next(one for one in found if isinstance(one, str))
    if period == "week":
        return (
            Spec(repeat=replace(WEEKLY, weekdays=(0,))) if number == 1 else Spec(refused="say on which day")
        )
    months = {"month": (), "quarter": (1, 4, 7, 10) if number == 1 else (3, 6, 9, 12)}
    named = months.get(period, (1,) if number == 1 else (12,))
    return Spec(repeat=Repeat("YEARLY" if named else "MONTHLY", days=(number,), months=named))


rule(
    "repeat",
    "<amount> before the? <startof> of every|each <endperiod> ; "
    "<each> leap|blue|odd|even <measure> ; <each> blue|full|new moon ; <each> decade|century ; "
    "every|each <num> ; every|each other <working> ; <each> now ; <each> <holidayword>",
    to=lambda *_: Spec(refused="this recurrence is not known: say it by days, weeks, months or dates"),
)


words("holidayword", {"holiday": True, "bank holiday": True, "season": True, "spring": True, "summer": True})
words("holidayword", {"autumn": True, "winter": True, "fall": True, "full moon": True, "easter": True})


@rule("often", "twice|thrice a|per|each|every <measure> ; <num> times a|per|each|every <measure>")
def _often(*found: Any) -> Spec:
    number = found[0] if len(found) == 2 else 2
    if found[-1] != Amount(days=1):
        return Spec(refused="the days are missing: say on which, such as every Monday and Thursday")
    return Spec(repeat=DAILY, often=number)


@rule("repeat", "every|each <monthlist> on the? <numbers>")
def _in_months(months: tuple[int, ...], numbers: tuple[int, ...]) -> Spec:
    why = month_days(numbers)
    return (
        Spec(refused=why) if why else Spec(repeat=replace(YEARLY, months=months, days=tuple(sorted(numbers))))
    )


rule(
    "repeat", "on? the? <numbers> of every|each <monthlist>", to=lambda days, months: _in_months(months, days)
)
rule("repeat", "every|each <monthlist>", to=lambda _: Spec(refused="say on which day of the month"))
rule("repeat", "<each> <measure> and <amount>", to=lambda _, unit, rest: _every(_step(unit + rest)))
rule("repeat", "every|each end of the? <endperiod>", to=lambda period: _ends_of_periods(-1, period))
