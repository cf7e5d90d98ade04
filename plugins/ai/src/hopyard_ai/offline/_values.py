"""Values in a part of a request that an argument can be filled with, each used once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from hopyard_ai.offline._clauses import Clause
from hopyard_ai.offline._words import GENERIC, NUMBERS, STOP_WORDS, Word, alike, vocabulary

PREPOSITIONS = vocabulary(
    "in on at for of to from into about with by near regarding between as via through concerning within "
    "per under onto during since until before after than"
)
_ARTICLES = vocabulary("the a an my our your his her their this that some any all of")
_INSIDE_NAMES = vocabulary("de da del la le van von der den of the di el al")
_ENDS = vocabulary(
    "and or please then but now today tomorrow tonight is are was were has have that which who saying says"
)
_LINKS = vocabulary("is = : of named called to as equals be set")


class Values:
    """The values of one clause. What was taken for one argument is not offered for another."""

    def __init__(self, clause: Clause, about: Iterable[str], now: datetime, zone: str) -> None:
        self.clause = clause
        self.words: Sequence[Word] = clause.words
        self.now = now
        self.zone = zone
        self._about = set(about)
        self._used: set[int] = set()

    def _free(self, *places: int) -> bool:
        return not self._used & set(places)

    def _take(self, first: int, end: int) -> str:
        self._used.update(range(first, end))
        text = self.clause.text[self.words[first].start : self.words[end - 1].end]
        return self.words[first].text if end == first + 1 else text

    def of_kind(self, kind: str) -> list[str]:
        """Take all quoted texts, URLs, addresses or paths."""
        places = [place for place, word in enumerate(self.words) if word.kind == kind and self._free(place)]
        return [self._take(place, place + 1) for place in places]

    def first_of_kind(self, kind: str, after: Sequence[str] = ()) -> str | None:
        """Take one, one that follows a word of `after` if there is any."""
        places = [place for place, word in enumerate(self.words) if word.kind == kind and self._free(place)]
        near = [place for place in places if place and self.words[place - 1].lower in after]
        place = next(iter([*near, *places]), None)
        return self._take(place, place + 1) if place is not None else None

    def numbers(self) -> list[tuple[int, float]]:
        """The free numbers with their places, in digits or words."""
        found: list[tuple[int, float]] = []
        for place, word in enumerate(self.words):
            if not self._free(place):
                continue
            if word.kind == "number":
                found.append((place, float(word.text.replace(",", ""))))
            elif word.kind == "word" and word.lower in NUMBERS and word.lower != "one":
                found.append((place, float(NUMBERS[word.lower])))
        return found

    def take_number(self, place: int) -> None:
        self._used.add(place)

    def near(self, place: int, names: Iterable[str]) -> int:
        """How near one of `names` stands to a place: 3 next to it, 1 three words away, else 0."""
        best = 0
        for distance, points in ((1, 3), (2, 2), (3, 1)):
            for other in (place + distance, place - distance):
                if 0 <= other < len(self.words) and self.words[other].kind == "word":
                    word = self.words[other].lower
                    if word not in STOP_WORDS and any(alike(word, name) >= 0.75 for name in names):
                        best = max(best, points)
        return best

    def mentioned(self, name: str, *, exact: bool = False) -> int | None:
        """The place of a word like `name`."""
        for place, word in enumerate(self.words):
            if word.kind == "word" and (
                word.lower == name.lower() or (not exact and alike(word.lower, name) >= 0.95)
            ):
                return place
        return None

    def denied(self, place: int) -> bool:
        """Whether what stands at `place` is negated: `without attachments`, `no emoji`, `don't include`."""
        before = " ".join(word.lower for word in self.words[max(0, place - 3) : place])
        return re.search(r"\b(?:without|no|not|don['’]?t|never|skip|exclude|excluding)\b", before) is not None

    def described(self, names: Sequence[str]) -> str | None:
        """Take the word before a parameter's name: `the nginx service`, `the orders database`."""
        for name in names:
            place = self.mentioned(name)
            if place is None or place == 0 or not self._free(place - 1):
                continue
            word = self.words[place - 1]
            plain = word.lower in PREPOSITIONS or word.lower in _ENDS or self._is_plain(place - 1)
            if word.kind == "word" and not plain and not (word.proper and not self._value_like(place - 1)):
                return self._take(place - 1, place)
        return None

    def recognised(self) -> list[str]:
        """Take what can only be a value by its looks, an address, a host, a path, with what is listed."""
        for place, word in enumerate(self.words):
            if word.kind in ("path", "url", "email") and self._free(place):
                return self._with_list(place, place + 1)
        return []

    def named(self, names: Sequence[str]) -> str | None:
        """Take what follows a parameter's name: `city Oslo`, `title: "X"`, `language is german`."""
        for name in names:
            place = self.mentioned(name)
            if place is None or place in self._used:
                continue
            begin = place + 1
            while begin < len(self.words) and self.words[begin].lower in _LINKS:
                begin += 1
            if begin >= len(self.words) or not self._free(begin):
                continue
            word = self.words[begin]
            if word.kind == "quoted" or (word.proper and self._value_like(begin)):
                return self._take(begin, self._name_end(begin))
            plain = word.kind == "word" and begin == place + 1 and self.words[place].lower not in PREPOSITIONS
            if plain and not (word.lower in _ENDS or word.lower in PREPOSITIONS or self._is_plain(begin)):
                return self._take(begin, begin + 1)
            linked = begin > place + 1 and self.words[begin - 1].lower not in ("of", "to", "as")
            if linked and word.kind in ("word", "number") and word.lower not in PREPOSITIONS:
                return self._take(begin, begin + 1)
        return None

    def after(self, prepositions: Sequence[str], *, names_only: bool = False) -> list[str]:
        """Take the phrase after one of these words, best first, with what is listed beside it."""
        for wanted in prepositions:
            for place, word in enumerate(self.words):
                if word.lower != wanted or word.kind != "word" or not self._free(place):
                    continue
                begin = self._skip_articles(place + 1)
                if begin >= len(self.words) or not self._free(begin):
                    continue
                if names_only and not (self.words[begin].proper or self.words[begin].kind == "quoted"):
                    continue
                end = self._phrase_end(begin)
                if end > begin and not self._only_about(begin, end):
                    self._used.add(place)
                    return self._with_list(begin, end)
        return []

    def names(self) -> list[str]:
        """Take the first name, a run of capitalised words, with what is listed beside it.

        The first word of a sentence is capital anyway: it is taken only where there is no other.
        """
        proper = [place for place, word in enumerate(self.words) if word.proper and self._free(place)]
        sure = [place for place in proper if self._value_like(place) and not self._names_tool(place)]
        unsure = [place for place in proper if not self._is_plain(place)]
        for place in (*sure, *unsure):
            return self._with_list(place, self._name_end(place))
        return []

    def _names_tool(self, place: int) -> bool:
        """Whether a capitalised word alone only names the tool: the TLS in `the TLS certificate`."""
        return self._is_about(self.words[place].lower) and self._name_end(place) == place + 1

    def _is_plain(self, place: int) -> bool:
        word = self.words[place].lower
        return self._is_about(word) or word in STOP_WORDS or word in GENERIC

    def codes(self) -> list[tuple[int, str]]:
        """The free words of three capital letters, such as currencies."""
        return [
            (place, word.text)
            for place, word in enumerate(self.words)
            if word.kind == "word" and re.fullmatch(r"[A-Z]{3}", word.text) and self._free(place)
        ]

    def marked(self) -> str | None:
        """Take an identifier: a word with a digit in it, or a number."""
        for place, word in enumerate(self.words):
            if (
                word.kind not in ("word", "number")
                or not re.search(r"[0-9]", word.text)
                or not self._free(place)
            ):
                continue
            if word.kind == "number" and place + 1 < len(self.words) and self.words[place + 1].text == "%":
                continue
            begin = place
            while begin and self._touches(begin) and self.words[begin - 1].text not in "(#":
                begin -= 1
            return self._take(begin, place + 1)
        return None

    def unit(self) -> str | None:
        """Take the word after a number: `miles` in `12 miles to kilometres`."""
        for place, word in enumerate(self.words[:-1]):
            following = self.words[place + 1]
            plain = following.lower in PREPOSITIONS or following.lower in _ENDS
            if word.kind == "number" and following.kind == "word" and not plain and self._free(place + 1):
                return self._take(place + 1, place + 2)
        return None

    def leftover(self, names: Sequence[str]) -> str | None:
        """Take `the bedroom` where it is all that is left beside what names the tool and its parameters."""
        left = [
            place
            for place, word in enumerate(self.words)
            if word.kind == "word" and self._free(place) and not self._is_plain(place)
            if word.lower not in PREPOSITIONS and not any(alike(word.lower, name) >= 0.75 for name in names)
        ]
        if len(left) != 1 or self.words[left[0] - 1].lower not in ("the", "my", "our"):
            return None
        return self._take(left[0], left[0] + 1)

    def _touches(self, place: int) -> bool:
        """Whether no space stands before a word."""
        return self.words[place - 1].end == self.words[place].start

    def said(self) -> str | None:
        """Take what follows `saying`, `that says` or a colon, to the end."""
        for place, word in enumerate(self.words[:-1]):
            if word.lower in ("saying", "says", "telling", ":") and self._free(place + 1):
                return self._take(place + 1, len(self.words))
        return None

    def rest(self) -> str:
        """What is left: without stop words at the edges, and without the words that named the tool."""
        left = [
            place
            for place, word in enumerate(self.words)
            if self._free(place) and not (word.kind == "word" and self._is_about(word.lower))
        ]
        skip = STOP_WORDS | PREPOSITIONS
        while left and (self.words[left[0]].lower in skip or self.words[left[0]].kind == "mark"):
            left.pop(0)
        while left and (self.words[left[-1]].lower in skip or self.words[left[-1]].kind == "mark"):
            left.pop()
        if not left:
            return ""
        return self._take(left[0], left[-1] + 1)

    def _is_about(self, word: str) -> bool:
        return any(alike(word, about) >= 0.75 for about in self._about)

    def _only_about(self, first: int, end: int) -> bool:
        """Whether a phrase only names the tool again: the `system` in `the health of the system`."""
        words = [word for word in self.words[first:end] if word.kind == "word"]
        plain = [word for word in words if not word.proper]
        return bool(words) and len(plain) == len(words) and all(self._is_about(word.lower) for word in words)

    def _value_like(self, place: int) -> bool:
        word = self.words[place]
        first = place == 0 or self.words[place - 1].text in ".!?"
        return not (
            first
            and (self._is_about(word.lower) or word.lower in STOP_WORDS or _imperative(self.words, place))
        )

    def _skip_articles(self, place: int) -> int:
        while place < len(self.words) and self.words[place].lower in _ARTICLES:
            place += 1
        return place

    def _name_end(self, place: int) -> int:
        end = place + 1
        if self.words[place].kind == "quoted":
            return end
        while end < len(self.words):
            word = self.words[end]
            joined = word.lower in _INSIDE_NAMES and end + 1 < len(self.words) and self.words[end + 1].proper
            if not (word.proper or joined) or not self._free(end):
                break
            end += 1
        return end

    def _phrase_end(self, begin: int) -> int:
        if self.words[begin].kind in ("quoted", "url", "email", "path", "date"):
            return begin + 1
        if self.words[begin].proper:
            return self._name_end(begin)
        end = begin
        while end < len(self.words) and self._free(end):
            word = self.words[end]
            if word.kind == "mark" or word.lower in PREPOSITIONS or word.lower in _ENDS:
                break
            end += 1
        return end

    def _with_list(self, first: int, end: int) -> list[str]:
        """The phrase and those listed after it: `Oslo, Bergen and Rome`."""
        named = self._listable(first)
        found = [self._take(first, end)]
        while named:
            begin = end
            while begin < len(self.words) and self.words[begin].lower in (
                ",",
                "and",
                "or",
                "&",
                "also",
                *PREPOSITIONS,
            ):
                begin += 1
            if begin == end or begin >= len(self.words) or not self._free(begin):
                break
            joined = {self.words[place].lower for place in range(end, begin)} & {",", "and", "or", "&"}
            if not joined or not self._listable(begin):
                break
            end = self._name_end(begin) if self.words[begin].proper else begin + 1
            found.append(self._take(begin, end))
        return found

    def _listable(self, place: int) -> bool:
        return self.words[place].proper or self.words[place].kind in ("quoted", "url", "email", "path")


def _imperative(words: Sequence[Word], place: int) -> bool:
    """Whether a capitalised first word is just the beginning of a sentence: the next one is not a name."""
    return place + 1 < len(words) and not words[place + 1].proper and words[place + 1].kind == "word"
