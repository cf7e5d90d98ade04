"""Words of a text: kinds, stems, and how alike two words are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["word", "number", "quoted", "url", "email", "path", "date", "version", "phone", "mark"]

_TOKEN = re.compile(
    r"""
    (?P<quoted> "[^"\n]+" | “[^”\n]+” | (?<![\w])'[^'\n]+'(?!\w) | `[^`\n]+` )
  | (?P<url> [a-zA-Z][a-zA-Z0-9+.-]*://[^\s<>"']*[^\s<>"'.,;:!?)\]] )
  | (?P<email> [\w.+-]+@[\w-]+(?:\.[\w-]+)+ )
  | (?P<path> (?<![\w])(?:~|\.{1,2})?/[\w.\-/]*[\w\-/] | \b[a-zA-Z]:\\[^\s"]+
            | \b[\w-]+(?:/[\w.-]+)+\b | \b[\w-]+(?:\.[\w-]+)*\.(?!\d)[a-z][a-z0-9]{1,4}\b )
  | (?P<date> \b[0-9]{4}-[0-9]{2}-[0-9]{2}
              (?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)? )
  | (?P<phone> (?<![\w])\+[0-9][0-9()\-]{6,}[0-9] )
  | (?P<version> \bv?[0-9]+(?:\.[0-9]+){2,}\b )
  | (?P<number> (?<![\w.])-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?(?![0-9]) )
  | (?P<word> [^\W\d_]+(?:['’.\-](?=[^\W_])[^\W_]+)*\d* | \w+ )
  | (?P<mark> \S )
    """,
    re.VERBOSE,
)
_SPLIT_NAME = re.compile(r"[^a-zA-Z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
)
NUMBERS = {word: number for number, word in enumerate((*_NUMBER_WORDS, "twelve"))} | {"dozen": 12}


def vocabulary(text: str) -> frozenset[str]:
    """The words of `text` as a set."""
    return frozenset(text.split())


STOP_WORDS = vocabulary(
    "a an the this that these those and or but then also too as well so of to in on at for from by with "
    "about into  over via per is are was were be been being am do does did has have had having can "
    "could would will shall  should may might must please kindly thanks thank you your yours i me my "
    "mine we us our it its he she they them  his her their there here what whats which who whom whose "
    "when where why how if not no yes just only any some  every each all both now today tomorrow "
    "yesterday tonight current currently latest tell let know give want need  like say says said much "
    "many more most up out off hey hi hello"
)
VAGUE = vocabulary("get list check show find fetch send make run do use look see set call start stop test")
"""Verbs that say nothing about which tool."""
GENERIC = vocabulary(
    "get list check show find fetch send make run do use look see set add create read write update call "
    "start stop  return returns compute calculate retrieve provide perform tool task data information "
    "info value values result  results given name names new item items user users system report ask "
    "search query test"
)
_SYNONYMS = (
    "mail email message",
    "weather forecast temperature meteorological rain sunny wind warm cold hot",
    "delete remove erase drop",
    "create add make new",
    "find search lookup look locate",
    "picture image photo",
    "convert conversion exchange rate",
    "health healthy status condition doing well",
    "disk storage space drive",
    "memory ram",
    "cpu processor load",
    "price cost quote",
    "sum add total plus",
    "multiply product times",
    "news headline headlines article",
    "calendar event appointment meeting schedule agenda",
    "summarise summarize summary summarization digest tldr",
    "translate translation",
    "contact person people phone",
    "document file",
    "backup archive",
    "restart reboot",
    "stock share shares ticker",
    "distance far",
    "directions route way",
    "currency money",
    "clean cleanup purge prune tidy",
    "notify notification alert",
    "text sms",
    "language tongue",
    "time clock hour",
    "page site website web url link",
    "repository repo",
    "bug issue ticket",
    "customer client",
    "invoice bill",
    "random dice roll",
    "hash checksum digest",
    "play start",
    "song track music",
    "light lamp",
    "flight plane",
    "book reserve booking reservation",
)
_GROUPS: dict[str, set[int]] = {}
for _number, _group in enumerate(_SYNONYMS):
    for _word in _group.split():
        _GROUPS.setdefault(_word, set()).add(_number)


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its place; `text` as written, without quotes."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        return self.text.lower()

    @property
    def proper(self) -> bool:
        """Whether it looks like a name: it has a capital letter."""
        return self.kind == "word" and any(char.isupper() for char in self.text) and self.text != "I"


def words_of(text: str) -> list[Word]:
    """Split a text; quoted text, addresses, paths and dates are one word each."""
    found: list[Word] = []
    for match in _TOKEN.finditer(text):
        # The groups are named after the kinds; a version is a word with digits.
        kind: Kind = "word" if match.lastgroup == "version" else match.lastgroup  # type: ignore[assignment]
        written = match.group()[1:-1] if kind == "quoted" else match.group()
        found.append(Word(kind, written, match.start(), match.end()))
    return found


def name_words(name: str) -> list[str]:
    """The words of an identifier: `maintenance__systemHealth` -> maintenance, system, health."""
    return [word.lower() for word in _SPLIT_NAME.split(name) if word]


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A word without its English endings: `checks`, `checked`, `checking` -> `check`."""
    word = word.lower().removesuffix("'s").removesuffix("’s").replace("-", "")
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + replacement
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        base = word[: -len(ending)]
        if word.endswith(ending) and len(base) > 2 and any(vowel in base for vowel in "aeiouy"):
            doubled = len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz"
            return base[:-1] if doubled else base
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


@lru_cache(maxsize=16384)
def alike(one: str, other: str) -> float:
    """How alike two words are, from 0 to 1: same stem, same meaning, or many letters in common."""
    first, second = stem(one), stem(other)
    if first == second or stem(first) == stem(second):
        return 1.0
    if _groups(one) & _groups(other):
        return 0.75
    shared = _shared_letters(first, second)
    return shared * 0.8 if shared >= 0.6 else 0.0


def _groups(word: str) -> set[int]:
    return _GROUPS.get(word.lower(), set()) | _GROUPS.get(stem(word), set())


def _shared_letters(one: str, other: str) -> float:
    """The Dice coefficient of their letter triples; words of fewer than four letters share nothing."""
    if min(len(one), len(other)) < 4:
        return 0.0
    first, second = _triples(one), _triples(other)
    return 2 * len(first & second) / (len(first) + len(second))


@lru_cache(maxsize=4096)
def _triples(word: str) -> frozenset[str]:
    padded = f"^{word}$"
    return frozenset(padded[place : place + 3] for place in range(len(padded) - 2))


def content(words: Sequence[Word]) -> list[Word]:
    """The words that carry meaning: no stop words, no marks, no numbers."""
    return [word for word in words if word.kind == "word" and word.lower not in STOP_WORDS]
