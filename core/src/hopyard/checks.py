"""Checks of single values, used by all values that check themselves when they are made.

Each raises `SpecError`, which names the value, what was found and what was expected.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, Final, NoReturn

from hopyard.errors import PayloadError, SpecError

DAY: Final = 86_400.0
#: The longest of all durations but those of schedules, in seconds.
YEAR: Final = 366 * DAY
#: The longest name of a queue, task, schedule, person or key, in characters.
MAX_NAME: Final = 200
#: JSON larger than this, in bytes, does not belong in a job but behind a reference.
MAX_BYTES: Final = 1_000_000
#: Numbers of more digits cannot be read by every Python: this is the least limit that one may be set to.
MAX_DIGITS: Final = sys.int_info.str_digits_check_threshold

_LONG_NUMBER: Final = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}")
#: Control characters, direction marks, ends of lines, halves of characters, unassigned ones.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"})
#: Some scripts need them within a name.
_JOINERS: Final = "\u200c\u200d"
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def refuse(what: str, found: Any, expected: str, nearest_name: str | None = None) -> NoReturn:
    """Raise `SpecError`; `what` names the value, e.g. ``queue `ai`: slots``."""
    hint = f"; did you mean `{nearest_name}`?" if nearest_name else ""
    raise SpecError(
        f"{what}: found {shown(found)}, expected {expected}{hint}", expected=expected, nearest=nearest_name
    )


def nearest(name: str, names: Collection[str]) -> str | None:
    """Return the most similar of `names`, None if none is similar."""
    from difflib import get_close_matches

    match = get_close_matches(name[:MAX_NAME], sorted(names), n=1, cutoff=0.6)
    return match[0] if match else None


def shown(value: Any) -> str:
    """Return a value as text for an error: short, and printable whatever it is."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - the value's own code; numbers of too many digits, too
        text = f"a {type(value).__name__} without a text ({type(error).__name__})"
    text = text if len(text) <= 80 else text[:77] + "…"
    return printable(text)


def printable(value: str) -> str:
    """Return text that can be written anywhere: lone surrogates as escapes."""
    return value.encode(errors="backslashreplace").decode()


def whole(what: str, value: Any, low: int, high: int) -> None:
    """Check a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        refuse(what, value, f"a whole number from {low:,} to {high:,}")


def number(what: str, value: Any, low: float, high: float, unit: str = "") -> None:
    """Check a finite number from `low` to `high`; `unit` is for the message, e.g. ` seconds`."""
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not low <= value <= high:  # NaN is neither
        refuse(what, value, f"a number from {low:,g} to {high:,g}{unit}")


def positive(what: str, value: Any, high: float, unit: str = " seconds") -> None:
    """Check a number greater than 0, at most `high`."""
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not 0 < value <= high:
        refuse(what, value, f"a number greater than 0, at most {high:,g}{unit}")


def text(what: str, value: Any, longest: int = MAX_NAME, *, empty: bool = False) -> None:
    """Check text that any database can store; not empty unless `empty`."""
    expected = f"text of at most {longest:,} characters"
    if not isinstance(value, str) or len(value) > longest:
        refuse(what, value, expected)
    if not value.strip() and not empty:
        refuse(what, value, f"{expected} that is not empty")
    if _UNSTORABLE.search(value):
        refuse(what, value, f"{expected} without NUL and lone surrogates")


def name(what: str, value: Any) -> None:
    """Check a name that people write and read: without spaces around it or characters that nobody sees."""
    text(what, value)
    hidden = next((c for c in value if unicodedata.category(c) in _HIDDEN and c not in _JOINERS), None)
    if hidden is not None:
        refuse(what, value, f"a name without U+{ord(hidden):04X}, a character that nobody sees")
    if value != value.strip():
        refuse(what, value, "a name without spaces around it")


def choice(what: str, value: Any, choices: Collection[str]) -> None:
    """Check that a value is one of a few texts."""
    if not isinstance(value, str) or value not in choices:
        close = nearest(value, choices) if isinstance(value, str) else None
        refuse(what, value, f"one of {', '.join(choices)}", close)


def flag(what: str, value: Any) -> None:
    """Check True or False."""
    if not isinstance(value, bool):
        refuse(what, value, "True or False")


def function(what: str, value: Any) -> None:
    """Check something that can be called."""
    if not callable(value):
        refuse(what, value, "a function")


def storable(value: str) -> str:
    """Return text with what no database can store (NUL, lone surrogates) replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", value)


def json_text(value: Any, what: str) -> str:
    """Return a JSON-like value as JSON text, as any reader of JSON takes it.

    Raises `PayloadError` for what JSON cannot say (NaN, infinities, lone surrogates, objects), numbers of too
    many digits, and more than `MAX_BYTES`.
    """
    try:
        found = json.dumps(value, allow_nan=False, ensure_ascii=False)
        found.encode()
    except UnicodeEncodeError:
        raise PayloadError(f"{what}: it holds a lone surrogate, which is no Unicode text") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"{what}: it has no JSON form: {error}") from None
    return checked(found, what)


def checked(found: str, what: str) -> str:
    """Return JSON text if a job may carry it.

    Raises `PayloadError` if it is larger than `MAX_BYTES`, or has a number of too many digits in it.
    """
    if len(found) > MAX_BYTES // 4 and len(found.encode()) > MAX_BYTES:
        raise PayloadError(
            f"{what} is {len(found.encode()):,} bytes, a job carries at most {MAX_BYTES:,}: "
            "store it elsewhere and pass a reference"
        )
    if len(found) > MAX_DIGITS and _LONG_NUMBER.search(found):
        _check_numbers(found, what)
    return found


def _check_numbers(found: str, what: str) -> None:
    """A long run of digits may stand within a text: only a number is refused."""

    def refuse_long(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise PayloadError(
                f"{what}: it holds a number of {len(digits):,} digits, at most {MAX_DIGITS} are "
                "possible: pass it as text"
            )
        return 0

    json.loads(found, parse_int=refuse_long, parse_float=lambda digits: refuse_long(digits) and 0.0)


def json_table(what: str, value: Any) -> None:
    """Check a JSON-like table, such as the arguments of a schedule. Raises `SpecError`."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        refuse(what, value, "a table with text for its keys")
    try:
        json_text(dict(value), what)
    except PayloadError as error:
        raise SpecError(str(error), expected="text, numbers, lists and tables") from None
