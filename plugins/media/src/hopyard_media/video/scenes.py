"""Where scenes of a video begin, and which moments show it best."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hopyard_media import store
from hopyard_media.damage import Damage
from hopyard_media.sources import Source, settings
from hopyard_media.speech import joining
from hopyard_media.speech.transcribing import Tell

#: A scene is at least so long, in seconds: what flickers is one.
_SHORTEST: Final = 0.5
#: Scenes of so many seconds give more than one picture, where there are few scenes.
_LONG: Final = 10.0
_MOST: Final = 5_000


async def scenes_of(tell: Tell, source: Source) -> tuple[list[float], list[str]]:
    """Return the moments at which scenes begin, 0 first, and notes about parts that cannot be decoded.

    Each part is looked at once, and kept; one that cannot be decoded has no scenes.
    """
    own = settings()
    threshold = own.pictures.threshold
    parts = joining.parts(source.duration, own.limits.part_seconds)
    options = store.digest("scenes", threshold, own.limits.part_seconds)
    known = await store.known(source.sha256, options)
    found: list[float] = []
    damage = Damage()
    for part in parts:
        step = str(part.number)
        if step not in known:
            tell(part.start, source.duration, f"looking for scenes, part {part.number + 1} of {len(parts)}")
            end = part.end if part is not parts[-1] else part.last
            order = {"start": part.start, "end": end, "threshold": threshold}
            order["most_pixels"] = own.limits.max_pixels
            with damage.of(part.start, part.end):
                known[step] = await source.do("cuts", order, end - part.start)
                await store.keep(source.sha256, options, step, known[step])
        found += known.get(step, ())
    damage.check(nothing=not known)
    return _steady(found), damage.notes


def _steady(cuts: Sequence[float]) -> list[float]:
    kept = [0.0]
    for at in cuts:
        if at - kept[-1] >= _SHORTEST and len(kept) < _MOST:
            kept.append(at)
    return kept


def moments(scenes: Sequence[float], duration: float, count: int) -> list[float]:
    """Return at most `count` moments: the middles of the longest scenes, or of parts of these."""
    spans = [(begin - end, begin, end) for begin, end in pairwise([*scenes, duration]) if begin < end]
    spans = sorted(spans)[:count]
    heapq.heapify(spans)
    while spans and len(spans) < count and -spans[0][0] >= 2 * _LONG:
        _, begin, end = heapq.heappop(spans)
        middle = (begin + end) / 2
        for first, last in ((begin, middle), (middle, end)):
            heapq.heappush(spans, (first - last, first, last))
    return sorted(round((begin + end) / 2, 3) for _, begin, end in spans)
