"""Words of a sentence with their places, and the English words for numbers, days and months."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "number", "ordinal", "time", "date", "instant", "opaque", "mark"]

DAY_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def words(text: str) -> frozenset[str]:
    """The words of `text` as a set."""
    return frozenset(text.split())


_DAY_SHORT = {"tues": 1, "thur": 3, "thurs": 3}
DAYS = (
    {name.lower(): number for number, name in enumerate(DAY_NAMES)}
    | {name[:3].lower(): number for number, name in enumerate(DAY_NAMES)}
    | _DAY_SHORT
)
PLURAL_DAYS = {f"{name.lower()}s": number for number, name in enumerate(DAY_NAMES)}
MONTHS = (
    {name.lower(): number for number, name in enumerate(MONTH_NAMES, 1)}
    | {name[:3].lower(): number for number, name in enumerate(MONTH_NAMES, 1)}
    | {"sept": 9}
)
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90}
NUMBERS = {word: number for number, word in enumerate(_SMALL)} | _TENS
_NTH = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
ORDINALS = {word: number for number, word in enumerate(_NTH, 1)} | {"last": -1}
UNIT_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
}
UNIT_DAYS = {
    **dict.fromkeys(("d", "day", "days"), 1),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 7),
    **dict.fromkeys(("fortnight", "fortnights"), 14),
}
UNIT_MONTHS = {
    **dict.fromkeys(("month", "months"), 1),
    **dict.fromkeys(("quarter", "quarters"), 3),
    **dict.fromkeys(("year", "years"), 12),
}
WORKING_DAY = ("weekday", "weekdays", "workday", "workdays")
WEEKEND = ("weekend", "weekends")

_TOKEN = re.compile(
    r"""
    (?P<opaque> "[^"]*" | “[^”]*” | \0+ | [a-z][a-z0-9+.-]*://\S+ | [^\s@]+@[^\s@]+\.[a-z]+
              | (?<!\S)~?/[^\s,]+ )
  | (?P<instant> (?<![\w.-])[0-9]{4}-[0-9]{2}-[0-9]{2}[t ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?
                 (?:z|[+-][0-9]{2}:[0-9]{2})(?![\w]) )
  | (?P<date> (?<![\w.-])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9-])
            | (?<![\w.])[0-9]{1,2}\.[0-9]{1,2}\.(?:[0-9]{4}(?![0-9]))?
            | (?<![\w/])[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}(?![0-9/]) )
  | (?P<time> (?<![\w:.])[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?![0-9:]) )
  | (?P<ordinal> [0-9]{1,2}(?:st|nd|rd|th)(?![^\W_]) )
  | (?P<number> [0-9]+(?:\.[0-9]+)? )
  | (?P<word> [ap]\.[ ]?m\.(?![^\W_]) | [^\W\d_]+(?:['’][^\W\d_]+)* )
  | (?P<mark> \S )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or mark; `text` is in lower case, `start` and `end` are places in the sentence."""

    kind: Kind
    text: str
    start: int
    end: int


class Tokens(tuple[Token, ...]):
    """A sentence's tokens; places outside the sentence read as empty words."""

    __slots__ = ()

    def word(self, index: int) -> str:
        """The text of a token, "" outside the sentence and for quoted text, addresses and the like."""
        if not 0 <= index < len(self) or self[index].kind == "opaque":
            return ""
        return self[index].text

    def kind(self, index: int) -> str:
        return self[index].kind if 0 <= index < len(self) else ""


def tokenize(text: str) -> Tokens:
    """Split a sentence. Quoted text, URLs, addresses and paths are single tokens that mean nothing here."""
    lowered = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    lowered = re.sub(r"(?<=[0-9])t(?=[0-9]{2}:[0-9]{2}(?!\S*(?:z|[+-][0-9]{2}:)))", " ", lowered)
    tokens = []
    for match in _TOKEN.finditer(lowered):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the names of the groups are the kinds
        word = f"{match.group()[0]}m" if kind == "word" and "." in match.group() else match.group()
        tokens.append(Token(kind, word, match.start(), match.end()))
    return Tokens(tokens)


def number_at(tokens: Tokens, index: int) -> tuple[float, int] | None:
    """Read `3`, `2.5`, `three`, `twenty five`, `a`, `an`, `a couple of` at `index`."""
    word = tokens.word(index)
    if tokens.kind(index) == "number":
        return (float(word), index + 1) if len(word) <= 12 else None
    if word in _TENS and 0 < NUMBERS.get(tokens.word(index + 1), 0) < 10:
        return float(_TENS[word] + NUMBERS[tokens.word(index + 1)]), index + 2
    if word in _TENS and tokens.word(index + 1) == "-" and 0 < NUMBERS.get(tokens.word(index + 2), 0) < 10:
        return float(_TENS[word] + NUMBERS[tokens.word(index + 2)]), index + 3
    if word in NUMBERS:
        return float(NUMBERS[word]), index + 1
    if word == "a" and tokens.word(index + 1) == "couple":
        return 2.0, index + (3 if tokens.word(index + 2) == "of" else 2)
    return (1.0, index + 1) if word in ("a", "an") else None


def ordinal_at(tokens: Tokens, index: int) -> tuple[int, int] | None:
    """Read `3rd`, `third`, `last` at `index`."""
    word = tokens.word(index)
    if tokens.kind(index) == "ordinal":
        return int(word[:-2]), index + 1
    return (ORDINALS[word], index + 1) if word in ORDINALS else None
