"""Recurrences in a sentence: `every ...`, `daily`, `monthly`, `three times`."""

from __future__ import annotations

from hopyard.errors import ScheduleError

from hopyard_ai.when._clocks import PARTS, amount
from hopyard_ai.when._days import calendar_date, day_numbers, nth_weekday, of_month, weekday_group
from hopyard_ai.when._parts import Amount, Found, Nth, Repeat
from hopyard_ai.when._tokens import (
    DAYS,
    MONTHS,
    UNIT_DAYS,
    UNIT_MONTHS,
    UNIT_SECONDS,
    Tokens,
    number_at,
    ordinal_at,
    words,
)

_ADVERBS = {
    "hourly": Repeat(seconds=3600.0),
    "daily": Repeat("DAILY"),
    "everyday": Repeat("DAILY"),
    "nightly": Repeat("DAILY"),
    "weekly": Repeat("WEEKLY"),
    "fortnightly": Repeat("WEEKLY", 2),
    "biweekly": Repeat("WEEKLY", 2),
    "monthly": Repeat("MONTHLY"),
    "quarterly": Repeat("MONTHLY", 3),
    "yearly": Repeat("YEARLY"),
    "annually": Repeat("YEARLY"),
}
_AFTER_ADVERB = words("at on in from until till starting beginning for and every between please except")
_PERIODS = ("a", "an", "per", "each", "every")


def repeats(tokens: Tokens, at: int) -> Found | None:
    """The recurrence that starts at token `at`; None if there is none. Raises ScheduleError."""
    word = tokens.word(at)
    if word in _ADVERBS:
        follows = tokens.kind(at + 1) != "word" or tokens.word(at + 1) in _AFTER_ADVERB
        also = (Found("part", "night", at, at + 1),) if word == "nightly" else ()
        return Found("repeat", _ADVERBS[word], at, at + 1, strong=follows, also=also)
    if word == "once" and tokens.word(at + 1) in _PERIODS:
        return _period(tokens, at, at + 2, 1.0)
    begin = at + 1 if word in ("on", "in") and tokens.word(at + 1) in ("every", "each") else at
    if tokens.word(begin) not in ("every", "each"):
        return None
    begin += 1
    for read in (_ordinal, _counted, _days, _part, _yearly):
        if (found := read(tokens, at, begin)) is not None:
            return found
    return None


def _ordinal(tokens: Tokens, at: int, index: int) -> Found | None:
    """`every other day`, `every third thursday`, `every 15th`, `every last day of the month`."""
    number: tuple[int, int] | None = None
    if tokens.word(index) in ("other", "alternate"):
        number = 2, index + 1
    elif not (tokens.word(index) == "second" and not _names_period(tokens, index + 1)):
        number = ordinal_at(tokens, index)
    if number is None:
        return None
    if tokens.word(index) in ("other", "alternate"):
        if (group := weekday_group(tokens, number[1])) is not None:
            return Found("repeat", Repeat("WEEKLY", 2, weekdays=group[0]), at, group[1])
        return _period(tokens, at, number[1], 2.0)
    if (found := _in_month(tokens, at, index)) is not None:
        return found
    return _period(tokens, at, number[1], float(number[0])) if number[0] > 0 else None


def _in_month(tokens: Tokens, at: int, index: int) -> Found | None:
    """`every third thursday [of the month]`, `every last friday of November`, `every 1st and 15th`."""
    if (nth := nth_weekday(tokens, index)) is not None:
        value, end = nth
        if tokens.word(end) in ("of", "in") and tokens.word(end + 1) in MONTHS and isinstance(value, Nth):
            month = MONTHS[tokens.word(end + 1)]
            return Found("repeat", Repeat("YEARLY", nth=value, month=month), at, end + 2)
        end, _ = of_month(tokens, end)
        repeat = Repeat("MONTHLY", nth=value) if isinstance(value, Nth) else Repeat("MONTHLY", days=value)
        return Found("repeat", repeat, at, end)
    if calendar_date(tokens, index) is not None:
        return None
    numbers = day_numbers(tokens, index)
    if numbers is None or _names_period(tokens, numbers[1]):
        return None
    end, _ = of_month(tokens, numbers[1])
    return Found("repeat", Repeat("MONTHLY", days=numbers[0]), at, end)


def _names_period(tokens: Tokens, index: int) -> bool:
    word = tokens.word(index)
    return word in UNIT_SECONDS or word in UNIT_DAYS or word in UNIT_MONTHS or word in DAYS


def _counted(tokens: Tokens, at: int, index: int) -> Found | None:
    """`every 20 seconds`, `every 2 hours`, `every hour and a half`, `every day`, `every month`."""
    if tokens.word(index) == "half" and tokens.word(index + 1) == "hour":
        return _within_day(tokens, at, index + 2, 1800.0)
    whole = amount(tokens, index)
    if whole is not None and whole[0] == Amount():
        written = " ".join(tokens.word(place) for place in range(index, whole[1]))
        raise ScheduleError(f"`every {written}` is no recurrence: expected more than nothing")
    if whole is not None and not whole[0].calendar:
        return _within_day(tokens, at, whole[1], whole[0].seconds)
    number = number_at(tokens, index)
    if number is not None and tokens.word(index) not in ("a", "an"):
        return _period(tokens, at, number[1], number[0])
    if [tokens.word(index + step) for step in range(1, 4)] == ["and", "a", "half"] and tokens.word(
        index
    ) == "hour":
        return _within_day(tokens, at, index + 4, 5400.0)
    return _period(tokens, at, index, 1.0)


def _period(tokens: Tokens, at: int, index: int, count: float) -> Found | None:
    word = tokens.word(index)
    written = f"every {count:g} {word}"
    if word in UNIT_SECONDS:
        return _within_day(tokens, at, index + 1, count * UNIT_SECONDS[word])
    size = UNIT_DAYS.get(word) or UNIT_MONTHS.get(word)
    if size is None:
        group = weekday_group(tokens, index) if count == 1 else None
        return (
            Found("repeat", Repeat("WEEKLY", weekdays=group[0]), at, group[1]) if group is not None else None
        )
    if not 1 <= count <= 1000 or count != int(count):
        raise ScheduleError(f"`{written}` is no recurrence: expected a whole number from 1 to 1000")
    interval = int(count)
    if word in UNIT_MONTHS:
        yearly = size == 12
        repeat = Repeat("YEARLY", interval) if yearly else Repeat("MONTHLY", interval * size)
    else:
        repeat = Repeat("DAILY", interval) if size == 1 else Repeat("WEEKLY", interval * size // 7)
    return Found("repeat", repeat, at, index + 1)


def _within_day(tokens: Tokens, at: int, end: int, seconds: float) -> Found:
    if not 1 <= seconds <= 366 * 86400:
        raise ScheduleError(f"`every {seconds:g} seconds` is no recurrence: expected at least 1 second")
    return Found("repeat", Repeat(seconds=float(seconds)), at, end)


def _days(tokens: Tokens, at: int, index: int) -> Found | None:
    """`every weekday`, `every weekend`, `every monday and thursday`."""
    begin = index + 1 if tokens.word(index) == "single" else index
    group = weekday_group(tokens, begin)
    if group is None:
        return _period(tokens, at, begin, 1.0) if begin > index else None
    return Found("repeat", Repeat("WEEKLY", weekdays=group[0]), at, group[1])


def _part(tokens: Tokens, at: int, index: int) -> Found | None:
    """`every morning`, `every noon`."""
    word = tokens.word(index)
    if word in PARTS:
        return Found("repeat", Repeat("DAILY"), at, index + 1, also=(Found("part", word, at, index + 1),))
    # The word itself says the time: it is left for the clock.
    return Found("repeat", Repeat("DAILY"), at, index) if word in ("noon", "midnight", "midday") else None


def _yearly(tokens: Tokens, at: int, index: int) -> Found | None:
    """`every 3 March`, `every December 24th`."""
    found = calendar_date(tokens, index)
    if found is None or found[0].year is not None or found[0].month is None:
        return None
    return Found("repeat", Repeat("YEARLY", days=found[0].days, month=found[0].month), at, found[1])


def counts(tokens: Tokens, at: int) -> Found | None:
    """`3 times`, `for five times`; `twice a day` is recognised so that it is refused, not overlooked."""
    begin = at + 1 if tokens.word(at) == "for" else at
    if tokens.word(begin) in ("twice", "thrice"):
        value, end = (2 if tokens.word(begin) == "twice" else 3), begin + 1
    else:
        number = number_at(tokens, begin)
        if (
            number is None
            or tokens.word(number[1]) not in ("times", "time")
            or tokens.word(begin) in ("a", "an")
        ):
            return None
        if not 1 <= number[0] <= 100_000 or number[0] != int(number[0]):
            raise ScheduleError(f"`{number[0]:g} times`: expected a whole number from 1 to 100000")
        value, end = int(number[0]), number[1] + 1
    if tokens.word(end) in _PERIODS and amount_or_unit(tokens, end + 1):
        return Found("often", value, at, end + 2, strong=False)
    if tokens.word(end) in ("in", "altogether") and tokens.word(end + 1) == "total":
        end += 2
    return Found("count", value, at, end, strong=False)


def amount_or_unit(tokens: Tokens, index: int) -> Amount | bool:
    """Whether a length of time or a unit stands at `index`."""
    return bool(amount(tokens, index)) or _names_period(tokens, index)
