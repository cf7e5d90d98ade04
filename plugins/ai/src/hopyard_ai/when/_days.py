"""Days in a sentence: `tomorrow`, `next monday`, `on 24 December`, `on the last friday of the month`."""

from __future__ import annotations

import re
from datetime import date

from hopyard.errors import ScheduleError

from hopyard_ai.when._clocks import PARTS
from hopyard_ai.when._parts import Day, Found, Nth, Repeat
from hopyard_ai.when._tokens import (
    DAY_NAMES,
    DAYS,
    MONTHS,
    PLURAL_DAYS,
    WEEKEND,
    WORKING_DAY,
    Tokens,
    ordinal_at,
    words,
)

_MONDAY_TO_FRIDAY = (0, 1, 2, 3, 4)
_SATURDAY_SUNDAY = (5, 6)
_COUNTED = words("floor page line chapter attempt try item place version column row step point section time")
_ENDS = words(
    "at on and or until till from in of for every each to starting please remind then between by via"
)


def days(tokens: Tokens, at: int) -> Found | None:
    """The day that starts at token `at`; None if there is none."""
    for read in (_relative, _named_part, _next_period, _date, _nth, _month_day, _weekdays):
        if (found := read(tokens, at)) is not None:
            return found
    return None


def _relative(tokens: Tokens, at: int) -> Found | None:
    begin = at + 1 if tokens.word(at) == "the" else at
    if [tokens.word(begin + step) for step in range(3)] == ["day", "after", "tomorrow"]:
        return Found("day", Day(offset=2), at, begin + 3)
    offset = {"today": 0, "tomorrow": 1}.get(tokens.word(at))
    if offset is not None:
        return Found("day", Day(offset=offset), at, at + 1)
    if tokens.word(at) == "tonight":
        return Found("day", Day(offset=0), at, at + 1, also=(Found("part", "night", at, at + 1),))
    return Found("past", "", at, at + 1, strong=False) if tokens.word(at) == "yesterday" else None


def _named_part(tokens: Tokens, at: int) -> Found | None:
    """`this evening`."""
    if tokens.word(at) != "this" or tokens.word(at + 1) not in PARTS:
        return None
    part = Found("part", tokens.word(at + 1), at, at + 2)
    return Found("day", Day(offset=0), at, at + 2, also=(part,))


def _next_period(tokens: Tokens, at: int) -> Found | None:
    """`next week`, `next week on tuesday`, `next month`, `next year`, `this weekend`."""
    if tokens.word(at) in ("this", "next", "on", "at", "over") and at < len(tokens):
        begin = at + 2 if tokens.word(at + 1) == "the" else at + 1
        if tokens.word(begin) in WEEKEND[:1]:
            return Found(
                "day", Day(weekdays=(5,), week=1 if tokens.word(at) == "next" else None), at, begin + 1
            )
    if tokens.word(at) != "next":
        return None
    period = tokens.word(at + 1)
    if period == "week":
        follow = _weekday_list(tokens, at + 3 if tokens.word(at + 2) == "on" else at + 2)
        if follow is not None and len(follow[0]) == 1:
            return Found("day", Day(weekdays=follow[0], week=1), at, follow[1])
        return Found("day", Day(offset=7), at, at + 2)
    if period in ("month", "year"):
        return Found("day", Day(month_offset=1 if period == "month" else 12), at, at + 2)
    return None


def _date(tokens: Tokens, at: int) -> Found | None:
    """`on 2026-12-24`, `on friday, 24 December`, `on December 24th 2027`, `24.12.`"""
    begin = at + 1 if tokens.word(at) == "on" else at
    weekday = DAYS.get(tokens.word(begin))
    start = begin
    if weekday is not None:
        start = begin + 1
        while tokens.word(start) in (",", "the"):
            start += 1
    elif tokens.word(start) == "the":
        start += 1
    found = calendar_date(tokens, start)
    if found is None:
        return None
    value, end = found
    if begin == at and re.fullmatch(r"[0-9.]+[.]", tokens.word(start)) and value.year is None:
        return None  # "see section 1.2."
    if weekday is not None and value.year and value.month:
        real = date(value.year, value.month, value.days[0])
        if real.weekday() != weekday:
            raise ScheduleError(
                f"{real.isoformat()} is a {DAY_NAMES[real.weekday()]}, not a {DAY_NAMES[weekday]}"
            )
    return Found("day", value, at, end, strong=begin > at)


def calendar_date(tokens: Tokens, index: int) -> tuple[Day, int] | None:
    """`24 December`, `December 24th, 2027`, `2026-12-24` at `index`."""
    if tokens.kind(index) == "date":
        return _numeric_date(tokens.word(index)), index + 1
    word, number = tokens.word(index), tokens.kind(index) in ("number", "ordinal")
    if number and re.match(r"[0-9]{1,2}(?![0-9.])", word):
        month = index + 2 if tokens.word(index + 1) == "of" else index + 1
        if tokens.word(month) in MONTHS:
            return _with_year(tokens, int(re.sub(r"\D", "", word)), MONTHS[tokens.word(month)], month + 1)
    if word in MONTHS:
        day = index + 2 if tokens.word(index + 1) == "the" else index + 1
        text = tokens.word(day)
        if tokens.kind(day) in ("number", "ordinal") and re.match(r"[0-9]{1,2}(?![0-9.])", text):
            return _with_year(tokens, int(re.sub(r"\D", "", text)), MONTHS[word], day + 1)
    return None


def _with_year(tokens: Tokens, day: int, month: int, end: int) -> tuple[Day, int]:
    after = end + 1 if tokens.word(end) == "," else end
    year: int | None = None
    if tokens.kind(after) == "number" and re.fullmatch(r"(?:19|2[0-9])[0-9]{2}", tokens.word(after)):
        year, end = int(tokens.word(after)), after + 1
    return _checked(year, month, day), end


def _numeric_date(text: str) -> Day:
    if "-" in text:
        year, month, day = (int(piece) for piece in text.split("-"))
        return _checked(year, month, day)
    if "." in text:
        pieces = [int(piece) for piece in text.split(".") if piece]
        return _checked(pieces[2] if len(pieces) > 2 else None, pieces[1], pieces[0])
    first, second, year = (int(piece) for piece in text.split("/"))
    if first <= 12 and second <= 12 and first != second:
        raise ScheduleError(
            f"`{text}` can be read as two dates: write it as year-month-day, such as 2026-12-24"
        )
    return _checked(year, second, first) if second <= 12 else _checked(year, first, second)


def _checked(year: int | None, month: int, day: int) -> Day:
    try:
        date(year or 2024, month, day)  # a leap year, so that 29 February can come
    except ValueError as error:
        raise ScheduleError(f"there is no day {day} in month {month} of {year or 'any year'}") from error
    return Day(year=year, month=month, days=(day,))


def _nth(tokens: Tokens, at: int) -> Found | None:
    """`on the third thursday`, `the last friday of every month`, `on the last day of the month`."""
    begin = at + 1 if tokens.word(at) == "on" else at
    begin += tokens.word(begin) == "the"
    read = nth_weekday(tokens, begin)
    if read is None or begin == at:
        return None
    value, after = read
    end, each = of_month(tokens, after)
    strong = begin == at + 2 or tokens.word(at) == "on" or end > after
    if isinstance(value, Nth) and tokens.word(after) in ("of", "in") and tokens.word(after + 1) in MONTHS:
        return Found("day", Day(nth=value, month=MONTHS[tokens.word(after + 1)]), at, after + 2)
    if each:
        repeat = Repeat("MONTHLY", nth=value) if isinstance(value, Nth) else Repeat("MONTHLY", days=value)
        return Found("repeat", repeat, at, end)
    day = Day(nth=value) if isinstance(value, Nth) else Day(days=value)
    return Found("day", day, at, end, strong=strong)


def nth_weekday(tokens: Tokens, index: int) -> tuple[Nth | tuple[int, ...], int] | None:
    """`third thursday`, `last day`, `last working day`, `first weekday` at `index`."""
    number = ordinal_at(tokens, index)
    if number is None or not (number[0] == -1 or 1 <= number[0] <= 5):
        return None
    word = tokens.word(number[1])
    if word in DAYS:
        return Nth(number[0], (DAYS[word],)), number[1] + 1
    if word in ("weekday", "workday"):
        return Nth(number[0], _MONDAY_TO_FRIDAY, working=True), number[1] + 1
    if word in ("working", "business") and tokens.word(number[1] + 1) == "day":
        return Nth(number[0], _MONDAY_TO_FRIDAY, working=True), number[1] + 2
    if word == "day" and tokens.word(number[1] + 1) in ("of", "in"):
        return (number[0],), number[1] + 1
    return None


def of_month(tokens: Tokens, index: int) -> tuple[int, bool]:
    """Step over `of the month`, `of each month`; return where it ends and whether it said `each`."""
    if tokens.word(index) not in ("of", "in"):
        return index, False
    if tokens.word(index + 2) in ("month", "months") and tokens.word(index + 1) in ("the", "this", "a"):
        return index + 3, False
    if tokens.word(index + 2) == "month" and tokens.word(index + 1) in ("each", "every"):
        return index + 3, True
    return index, False


def _month_day(tokens: Tokens, at: int) -> Found | None:
    """`on the 1st`, `on the 1st and 15th of every month`."""
    begin = at + 1 if tokens.word(at) == "on" else at
    begin += tokens.word(begin) == "the"
    read = day_numbers(tokens, begin)
    if read is None or begin == at:
        return None
    end, each = of_month(tokens, read[1])
    follows = tokens.word(end)
    if end == read[1] and (tokens.word(at) != "on" or follows in _COUNTED):
        return None
    if each:
        return Found("repeat", Repeat("MONTHLY", days=read[0]), at, end)
    loose = end == read[1] and tokens.kind(end) == "word" and follows not in _ENDS
    return Found("day", Day(days=read[0]), at, end, strong=not loose)


def day_numbers(tokens: Tokens, index: int) -> tuple[tuple[int, ...], int] | None:
    """`1st`, `1st and 15th`, `1st, 10th and 20th`."""
    found: list[int] = []
    end = index
    while True:
        begin = end
        if found:
            while tokens.word(begin) in (",", "and", "&", "the"):
                begin += 1
            if begin == end:
                break
        if tokens.kind(begin) != "ordinal":
            break
        number = int(tokens.word(begin)[:-2])
        if not 1 <= number <= 31:
            raise ScheduleError(f"`{tokens.word(begin)}` is no day of a month: expected 1st to 31st")
        found.append(number)
        end = begin + 1
    return (tuple(sorted(set(found))), end) if found else None


def _weekdays(tokens: Tokens, at: int) -> Found | None:
    """`on friday`, `next monday`, `on mondays and thursdays`, `on weekdays`, `monday to friday`."""
    begin, later = at, False
    if tokens.word(begin) == "on":
        begin += 1
    if tokens.word(begin) in ("this", "next", "coming", "the", "from"):
        later = tokens.word(begin) == "next"
        begin += 2 if tokens.word(begin + 1) in ("coming", "next") else 1
    elif tokens.word(begin) == "all":
        begin += 1
    word, strong = tokens.word(begin), begin > at
    if word in ("weekdays", "weekends"):
        group = _MONDAY_TO_FRIDAY if word == "weekdays" else _SATURDAY_SUNDAY
        return Found("repeat", Repeat("WEEKLY", weekdays=group), at, begin + 1, strong=strong)
    read = _weekday_list(tokens, begin)
    if read is None:
        return None
    value, end = read
    plural = any(tokens.word(index) in PLURAL_DAYS for index in range(begin, end))
    if plural or (
        len(value) > 2 and any(tokens.word(index) in ("to", "-", "–") for index in range(begin, end))
    ):
        return Found("repeat", Repeat("WEEKLY", weekdays=value), at, end, strong=strong)
    if tokens.word(end) == "next" and tokens.word(end + 1) == "week" and len(value) == 1:
        return Found("day", Day(weekdays=value, week=1), at, end + 2)
    return Found("day", Day(weekdays=value, later=later), at, end, strong=strong)


def weekday_group(tokens: Tokens, index: int) -> tuple[tuple[int, ...], int] | None:
    """`monday and thursday`, `weekday`, `working day`, `weekend` at `index`."""
    word = tokens.word(index)
    if word in WORKING_DAY:
        return _MONDAY_TO_FRIDAY, index + 1
    if word in ("working", "business") and tokens.word(index + 1) in ("day", "days"):
        return _MONDAY_TO_FRIDAY, index + 2
    if word in WEEKEND:
        return _SATURDAY_SUNDAY, index + 1
    return _weekday_list(tokens, index)


def _weekday_list(tokens: Tokens, index: int) -> tuple[tuple[int, ...], int] | None:
    known = DAYS | PLURAL_DAYS
    if tokens.word(index) not in known:
        return None
    found, end = [known[tokens.word(index)]], index + 1
    while True:
        begin = end
        while tokens.word(begin) in (",", "and", "or", "&", "every", "on", "to", "through", "-", "–", "till"):
            begin += 1
        if begin == end or begin - end > 2 or tokens.word(begin) not in known:
            return tuple(sorted(set(found))), end
        number = known[tokens.word(begin)]
        if tokens.word(end) in ("to", "through", "-", "–", "till"):
            first = found[-1]
            found.extend((first + step) % 7 for step in range(1, (number - first) % 7))
        found.append(number)
        end = begin + 1
