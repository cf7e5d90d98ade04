"""The parts of a recording, and what was heard of them put together.

Parts overlap, so that no word is cut: each is heard with some seconds before and after it, and of what is
heard there only what begins within the part counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from hopyard_media.models import Segment, Word

#: Seconds before and after a part that are heard as well: longer than any word.
MARGIN: Final = 5.0
#: A pause of so many seconds ends a segment.
_PAUSE: Final = 0.8
_MOST_WORDS: Final = 60
#: Characters: what is longer is a whole sentence.
_LONGEST_WORD: Final = 40


@dataclass(frozen=True, slots=True)
class Part:
    """A part from `start` to `end`, heard from `first` to `last`, in seconds."""

    number: int
    start: float
    end: float
    first: float
    last: float


def parts(duration: float, seconds: float) -> list[Part]:
    """Return the parts of a recording; a short rest belongs to the part before it."""
    count = max(1, round(duration / seconds))
    bounds = [n * seconds for n in range(count)] + [max(duration, 0.0)]
    return [
        Part(n, start, end, max(0.0, start - MARGIN), end + (MARGIN if n < count - 1 else 1.0))
        for n, (start, end) in enumerate(pairwise(bounds))
    ]


def own(part: Part, utterances: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what begins within a part, of what was heard around it."""

    def within(start: float) -> bool:
        return part.start <= start < part.end or (part.start == 0.0 and start < 0.0)

    kept = []
    for one in utterances:
        if "words" in one:
            words = [word for word in one["words"] if within(word["start"])]
            if words:
                kept.append({"words": words})
        else:
            kept += _shared(one, within)
    return kept


def _shared(one: dict[str, Any], within: Callable[[float], bool]) -> list[dict[str, Any]]:
    """Return what is a part's own of a text without word times, as if its words were equally long.

    Both parts at a border hear a sentence that lies across it, and servers that give no times at all say
    everything from the first moment on.
    """
    text, start, end = one["text"], one["start"], one["end"]
    pieces, glue = text.split(), " "
    if len(pieces) * _LONGEST_WORD < len(text):  # a language that is written without spaces
        pieces, glue = [*text], ""
    each = (end - start) / max(1, len(pieces))
    mine = [n for n in range(len(pieces)) if within(start + n * each)]
    if len(mine) == len(pieces):
        return [one] if mine else []
    found = {"start": start + mine[0] * each, "end": start + (mine[-1] + 1) * each} if mine else {}
    return [{**found, "text": glue.join(pieces[n] for n in mine)}] if mine else []


def segments(utterances: Iterable[dict[str, Any]], speaker: str | None) -> list[Segment]:
    """Return segments: utterances, where words are known divided at pauses, and joined over parts."""
    found: list[Segment] = []
    words: list[Word] = []
    for one in utterances:
        if "words" not in one:
            found += _segment(words, speaker)
            words = []
            found.append(Segment(start=one["start"], end=one["end"], text=one["text"], speaker=speaker))
            continue
        for given in one["words"]:
            word = Word(**given)
            if words and _repeated(words[-1], word):
                continue
            if words and (word.start - words[-1].end > _PAUSE or len(words) == _MOST_WORDS):
                found += _segment(words, speaker)
                words = []
            words.append(word)
    return found + _segment(words, speaker)


def _repeated(before: Word, word: Word) -> bool:
    """Say whether a word at the border of two parts was heard in both."""
    return before.word == word.word and word.start < before.end


def _segment(words: Sequence[Word], speaker: str | None) -> list[Segment]:
    if not words:
        return []
    text = " ".join(word.word for word in words)
    end = max(word.end for word in words)
    return [Segment(start=words[0].start, end=end, text=text, speaker=speaker, words=[*words])]


def in_order(found: Iterable[Segment]) -> list[Segment]:
    """Return the segments of all speakers in the order of their beginnings."""
    return sorted(found, key=lambda one: (one.start, one.end))
