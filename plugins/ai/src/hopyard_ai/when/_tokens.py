"""The words of a sentence with their places. What is quoted, and addresses, paths and codes, mean nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "number", "ordinal", "time", "date", "instant", "opaque", "mark"]

_TOKEN = re.compile(
    r"""
    (?P<opaque> "[^"]*(?:"|$) | “[^”]*(?:”|$) | «[^»]*(?:»|$) | `[^`]*(?:`|$) | ‘[^’]*’(?!\w)
              | (?<!\w)'[^']*'(?!\w)
              | \0+ | [a-z][a-z0-9+.-]*://\S+ | [^\s@]+@[^\s@]+\.[a-z]+ | (?<![\w.])~?/[^\s,]+
              | (?<![\w]) (?!(?:utc|gmt)[+-]?[0-9]) (?:[a-z][a-z_]*[-_.]?[0-9][\w.-]*\w | [a-z]+[0-9])
              | \#\w+ | \+[0-9]{1,3}(?=[ ][0-9])
              | (?<!on[ ])(?<!\S)24/7(?![\d/]) )
  | (?P<instant> (?<![\w.-])[0-9]{4}-[0-9]{2}-[0-9]{2}[t ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?[ ]?
                 (?:z|[+-][0-9]{2}:?[0-9]{2})(?![\w]) )
  | (?P<date> (?<![\w.-])[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?![0-9-])
            | (?<![\w/])[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}(?![0-9/])
            | (?<![\w.])[0-9]{1,2}\.[0-9]{1,2}\.(?:(?:[0-9]{4}|[0-9]{2})(?![0-9]))?
            | (?<![\w/])[0-9]{1,2}/[0-9]{1,2}(?:/(?:[0-9]{4}|[0-9]{2}))?(?![0-9/])
            | (?<![\w-])[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}(?![0-9-]) )
  | (?P<time> (?<![\w:.])[0-9]{0,2}:[0-9]{2}(?::[0-9]{2})?(?![0-9:]) )
  | (?P<ordinal> [0-9]{1,2}(?:st|nd|rd|th)(?![^\W_]) )
  | (?P<number> [0-9]+(?:\.[0-9]+)? )
  | (?P<word> [ap]\.[ ]?m\.?(?![^\W_])
            | (?: mon | tues? | weds? | thu(?:rs?)? | fri | sat | sun | jan | feb | mar | apr | jun | jul
                | aug | sept? | oct | nov | dec ) \. (?=[ ]?[^\s.])
            | [^\W\d_]+(?:['’][^\W\d_]+)* | [½¼¾] )
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

    def touches(self, index: int) -> bool:
        """Whether nothing stands between this token and the one before it."""
        return 0 < index < len(self) and self[index - 1].end == self[index].start


def tokenize(text: str) -> Tokens:
    """Split a sentence into words, numbers, times, dates and marks."""
    tokens = []
    plain = "".join(_plain(char) for char in text)
    plain = re.sub(r"(?<=[0-9])t(?=[0-9]{2}:[0-9]{2}(?!\S*(?:z|[+-][0-9]{2}:)))", " ", plain)
    for match in _TOKEN.finditer(plain):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the names of the groups are the kinds
        word = match.group()
        if kind == "word":
            word = word.removesuffix(".") if len(word) > 3 and word[1] != "." else word
            word = f"{word[0]}m" if "." in word else word.replace("’", "'")
        tokens.append(Token(kind, word, match.start(), match.end()))
    return Tokens(tokens)


def _plain(char: str) -> str:
    """The character in lower case, digits and blanks of any script as the usual ones."""
    if char.isdecimal():
        return str(int(char))
    if char.isspace():
        return "\n" if char in "\r\n" else " "
    return char.lower() if len(char.lower()) == 1 else char
