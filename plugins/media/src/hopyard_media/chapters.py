"""Where one thing ends in what is said, and the next begins."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hopyard_media.models import Segment

#: A chapter is at least so long, in seconds.
_SHORTEST: Final = 60.0
#: How long chapters are on average, in seconds.
_USUAL: Final = 300.0
#: Seconds before and after a border in which words are compared.
_WINDOW: Final = 90.0
_WORD: Final = re.compile(r"\w{4,}")


def chapters(segments: Sequence[Segment], duration: float, most: int) -> list[list[Segment]]:
    """Return the segments of each chapter.

    A chapter begins where the words before and after have least in common, and where there is a pause: as in
    Hearst's TextTiling (Computational Linguistics 23(1), 1997), with one comparison at each border.
    """
    if not segments:
        return []
    wanted = max(1, min(most, round(duration / _USUAL)))
    counted = [Counter(_WORD.findall(one.text.lower())) for one in segments]
    scored = sorted(
        ((_likeness(segments, counted, n) - _pause(segments, n), n) for n in range(1, len(segments))),
    )
    borders: list[int] = []
    for _, n in scored:
        if len(borders) == wanted - 1:
            break
        at = segments[n].start
        fixed = [segments[0].start, segments[-1].end, *(segments[one].start for one in borders)]
        if all(abs(at - other) >= _SHORTEST for other in fixed):
            borders.append(n)
    bounds = [0, *sorted(borders), len(segments)]
    return [[*segments[first:last]] for first, last in pairwise(bounds)]


def _pause(segments: Sequence[Segment], n: int) -> float:
    """Return how much a pause counts: half of all, from three seconds on."""
    return min(3.0, max(0.0, segments[n].start - segments[n - 1].end)) / 6.0


def _likeness(segments: Sequence[Segment], counted: Sequence[Counter[str]], n: int) -> float:
    """Return the cosine of the words before and after a border."""
    at = segments[n].start
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for one in range(n - 1, -1, -1):
        if segments[one].start < at - _WINDOW:
            break
        before += counted[one]
    for one in range(n, len(segments)):
        if segments[one].start > at + _WINDOW:
            break
        after += counted[one]
    common = sum(count * after[word] for word, count in before.items())
    lengths = [math.sqrt(sum(count * count for count in side.values())) for side in (before, after)]
    return common / (lengths[0] * lengths[1]) if all(lengths) else 0.0
