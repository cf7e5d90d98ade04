"""Mistyped words about time: they are suggested, never assumed."""

from __future__ import annotations

from hopyard_ai.when._words import SMALL, TIMELY, words

_TARGETS = words("""
    every today tomorrow tonight weekday weekdays weekend weekends minutes morning evening afternoon midnight
    monthly monday tuesday wednesday thursday friday saturday sunday january february august september october
    november december mondays tuesdays wednesdays thursdays fridays saturdays sundays
""")
_RIGHT = words("""
    very ever event evens minuets sundae sundaes mourning warning toady evenings mornings fridge
    excerpt staring
""")


def meant(word: str) -> str | None:
    """The word about time that a mistyped one is near to."""
    if len(word) < 4 or not word.isalpha() or word in TIMELY or word in _TARGETS or word in _RIGHT:
        return None
    for target in sorted(_TARGETS):
        near = abs(len(word) - len(target)) <= 2 and word[0] == target[0]
        if near and 0 < _distance(word, target) <= (2 if len(target) >= 8 else 1):
            return target
    return None


def meant_before(word: str) -> str | None:
    """What a word that stands before a day or a unit of time is near to: too short to be found elsewhere."""
    if word in _LEADS:
        return None
    near = (one for one in _LEADS if one[0] == word[:1] and _distance(word, one) == 1)
    return next(near, None) if len(word) >= 3 and word.isalpha() else None


def meant_after(word: str) -> str | None:
    """What a word that stands behind a time is near to: one that bounds it, or leaves something out."""
    if word in _BOUNDS or word in _RIGHT or not word.isalpha():
        return None
    near = (one for one in _BOUNDS if one[0] == word[:1] and _distance(word, one) == 1)
    return next(near, None)


def meant_hour(word: str) -> str | None:
    """Which number a word behind `at` is near to: `at nien`."""
    if len(word) < 3 or not word.isalpha() or word in SMALL or word in _NO_HOURS:
        return None
    return next((one for one in SMALL if len(one) >= 3 and sorted(one) == sorted(word)), None)


_NO_HOURS = words("eon net")
_BOUNDS = ("until", "except", "excluding", "starting", "beginning")
_LEADS = ("every", "each", "next")


def _distance(one: str, other: str) -> int:
    """How many letters have to be put in, taken out, changed or swapped."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                row[j] = min(row[j], older[j - 2] + 1)
    return row[-1]
