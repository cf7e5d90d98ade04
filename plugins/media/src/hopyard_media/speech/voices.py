"""Speakers within one channel: who speaks when, told apart by voice, and who says a word."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from hopyard.errors import InvalidInput
from hopyard.sandbox import Refusal
from pydantic import BaseModel, TypeAdapter

from hopyard_media import store
from hopyard_media.models import Segment, Speakers
from hopyard_media.settings import Voices
from hopyard_media.sources import Source, settings
from hopyard_media.speech import joining
from hopyard_media.speech.versions import version_of

#: A word so many seconds before or after all turns is still said by who is nearest.
_NEAR: Final = 1.0
_STEP: Final = "turns"


class Turn(BaseModel):
    """When one speaker, of a number from 0, speaks."""

    start: float
    end: float
    speaker: int


_TURNS: Final = TypeAdapter(list[Turn])


def wanted(speakers: Speakers) -> Voices | None:
    """Return by which models voices are told apart, None where they are not to be.

    Raises `InvalidInput` where that is not set up.
    """
    if speakers != "voices":
        return None
    own = settings().voices
    if own is None:
        raise InvalidInput("speakers voices: expected `voices` in the settings, the files of two models")
    return own


def key_of(own: Voices) -> tuple[Any, ...]:
    """Return what stands for the models where results are kept. Raises as `version_of`."""
    models = [(one, version_of(one, "voices")) for one in (own.segmentation, own.embedding)]
    return (*models, own.speakers, own.threshold)


async def turns_of(source: Source, own: Voices) -> list[Turn]:
    """Return the turns of a whole recording; they are found once, and kept. Raises as a child."""
    if source.duration > own.max_seconds:
        raise Refusal(
            f"found {source.duration:,.0f} s, expected at most {own.max_seconds:,.0f} to tell voices apart "
            "(`voices.max_seconds`)"
        )
    options = store.digest("voices", *key_of(own))
    found = await store.one(source.sha256, options, _STEP)
    if found is None:
        order = {
            "start": 0.0,
            "end": source.duration,
            "segmentation": own.segmentation,
            "embedding": own.embedding,
        }
        order |= {"speakers": own.speakers, "threshold": own.threshold}
        found = await source.do("voices", order, source.duration)
        await store.keep(source.sha256, options, _STEP, found)
    return _TURNS.validate_python(found)


def segments(utterances: Iterable[dict[str, Any]], turns: Sequence[Turn]) -> list[Segment]:
    """Return segments of one speaker each, of utterances; of those without words each as a whole."""
    pieces = [piece for one in utterances for piece in one.get("words", (one,))]
    pieces.sort(key=lambda piece: float(piece["start"]))
    found: list[Segment] = []
    for speaker, own in groupby(_spoken(pieces, turns), lambda one: one[0]):
        name = None if speaker is None else f"speaker {speaker + 1}"
        found += joining.segments(({"words": [one]} if "word" in one else one for _, one in own), name)
    return found


def _spoken(
    pieces: Iterable[dict[str, Any]], turns: Iterable[Turn]
) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Yield pieces, in the order of time, with who says them."""
    coming, near = deque(sorted(turns, key=lambda one: one.start)), list[Turn]()
    for piece in pieces:
        while coming and coming[0].start <= piece["end"] + _NEAR:
            near.append(coming.popleft())
        near = [one for one in near if one.end >= piece["start"] - _NEAR]
        yield _speaker(piece["start"], piece["end"], near), piece


def _speaker(start: float, end: float, turns: Sequence[Turn]) -> int | None:
    """Return who speaks for most of a time; where nobody does, whose turn is nearest."""
    shares = Counter[int]()
    for turn in turns:
        shares[turn.speaker] += max(0, round((min(end, turn.end) - max(start, turn.start)) * 1000))
    if shares and shares.most_common(1)[0][1]:
        return shares.most_common(1)[0][0]
    nearest = min(turns, key=lambda one: max(one.start - end, start - one.end), default=None)
    return None if nearest is None else nearest.speaker
