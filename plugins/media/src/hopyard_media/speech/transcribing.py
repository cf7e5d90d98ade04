"""Transcribing a recording part by part: each part is heard once, and kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

from hopyard.sandbox import Refusal

from hopyard_media import outputs, store
from hopyard_media.damage import Damage
from hopyard_media.models import EngineName, Format, Segment, Speakers, Transcript
from hopyard_media.recordings import note_transcript, worked_on
from hopyard_media.sources import Source, settings
from hopyard_media.speech import formats as files
from hopyard_media.speech import joining, voices
from hopyard_media.speech.engines import Engine, Heard, engine_of
from hopyard_media.speech.joining import Part
from hopyard_media.speech.voices import Turn

_MOST_CHANNELS: Final = 8


@dataclass(slots=True)
class _Parts:
    """What was heard of the parts of a recording, by part and channel; `known` of `total` were before."""

    total: int
    heard: dict[tuple[int, int | None], Heard] = field(default_factory=dict)
    known: int = 0
    damage: Damage = field(default_factory=Damage)


class Tell(Protocol):
    """Takes how far the work is: seconds of sound done, of all, and what is being done."""

    def __call__(self, current: float, total: float | None = None, message: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a recording."""

    language: str | None = None
    speakers: Speakers = "none"
    engine: EngineName | None = None
    formats: Sequence[Format] = ()

    def checked(self) -> Engine:
        """Return the engine. Raises `InvalidInput` for what cannot be had, before any work."""
        files.check(self.formats)
        if self.formats:
            outputs.wanted()
        voices.wanted(self.speakers)
        return engine_of(self.engine, self.language)


async def transcribe(tell: Tell, root: str, way: str, wish: Wish) -> Transcript:
    """Return what is said in a recording below a root; write it to files where formats are given.

    Raises `InvalidInput` for what is no recording, for an engine that is not set up or not allowed, and as
    the engine.
    """
    engine = wish.checked()
    async with worked_on(root, way) as source:
        return await transcript_of(tell, source, engine, wish)


async def transcript_of(tell: Tell, source: Source, engine: Engine, wish: Wish) -> Transcript:
    """Return what is said in an open recording, and keep it. Raises as `transcribe`."""
    told_apart = voices.wanted(wish.speakers)
    # Parts are heard the same whoever speaks: what is kept of them serves both.
    about = ("speech", engine.key, settings().limits.part_seconds)
    parts = store.digest(*about, "none" if told_apart else wish.speakers)
    options = store.digest(*about, "voices", *voices.key_of(told_apart)) if told_apart else parts
    channels = _channels(source, wish.speakers)
    turns = await voices.turns_of(source, told_apart) if told_apart else None
    heard = await _heard(tell, source, engine, parts, channels)
    made = _whole(source, heard, turns)
    await store.keep(source.sha256, options, store.WHOLE, made.model_dump(mode="json"))
    await note_transcript(source.root, source.way, options)
    for one in dict.fromkeys(wish.formats):
        data = files.text_of(made, one).encode()
        made.files[one] = await outputs.write(outputs.name_of(source, f".{one}"), data)
    return made


async def _heard(
    tell: Tell, source: Source, engine: Engine, options: str, channels: Sequence[int | None]
) -> _Parts:
    """Return what was heard of all parts. What is damaged costs its own part, which is heard as silence."""
    known = await store.known(source.sha256, options)
    wanted = joining.parts(source.duration, settings().limits.part_seconds)
    work = [(part, channel) for part in wanted for channel in channels]
    made = _Parts(len(work))
    began = time.monotonic()
    for n, (part, channel) in enumerate(work):
        step = f"{part.number}" if channel is None else f"{part.number} channel {channel}"
        if step in known:
            made.heard[part.number, channel] = Heard(**known[step])
            made.known += 1
            continue
        tell(part.start, source.duration, _told(n, len(work), n - made.known, time.monotonic() - began))
        with made.damage.of(part.start, part.end):
            found = await _hear(engine, source, part, channel)
            await store.keep(source.sha256, options, step, asdict(found))
            made.heard[part.number, channel] = found
    made.damage.check(nothing=not made.heard)
    tell(source.duration, source.duration, "all parts heard")
    return made


def _told(n: int, of: int, fresh: int, seconds: float) -> str:
    left = f", about {seconds / fresh * (of - n):,.0f} s left" if fresh else ""
    return f"hearing part {n + 1} of {of}{left}"


async def _hear(engine: Engine, source: Source, part: Part, channel: int | None) -> Heard:
    found = await engine.hear(source, part.first, part.last, channel)
    return Heard(**{**asdict(found), "utterances": joining.own(part, found.utterances)})


def _channels(source: Source, speakers: Speakers) -> Sequence[int | None]:
    streams = source.streams("audio")
    if not streams:
        raise Refusal("it has no sound")
    if speakers != "channels":
        return [None]
    count = int(streams[0]["channels"])
    if not 2 <= count <= _MOST_CHANNELS:
        raise Refusal(f"found {count} channels, expected 2 to {_MOST_CHANNELS}, one for each speaker")
    return [*range(count)]


def _segments(made: _Parts, turns: Sequence[Turn] | None) -> list[Segment]:
    heard = made.heard
    channels = sorted({channel for _, channel in heard}, key=lambda one: -1 if one is None else one)
    segments = []
    for channel in channels:
        mine = [heard[key] for key in sorted(key for key in heard if key[1] == channel)]
        utterances = [one for each in mine for one in each.utterances]
        if turns is not None:
            segments += voices.segments(utterances, turns)
            continue
        speaker = None if channel is None else f"speaker {channel + 1}"
        segments += joining.segments(utterances, speaker)
    return joining.in_order(segments)


def _whole(source: Source, made: _Parts, turns: Sequence[Turn] | None) -> Transcript:
    all_ = [*made.heard.values()]
    sure = [one.confidence for one in all_ if one.confidence is not None]
    languages = Counter(one.language for one in all_ if one.language and one.utterances)
    return Transcript(
        root=source.root,
        way=source.way,
        sha256=source.sha256,
        duration=source.duration,
        engine=", ".join(sorted({one.engine for one in all_})),
        language=languages.most_common(1)[0][0] if languages else None,
        draft=any(one.draft for one in all_),
        isolated=all(one.isolated for one in all_),
        confidence=round(sum(sure) / len(sure), 4) if sure else None,
        segments=_segments(made, turns),
        parts=made.total,
        known=made.known,
        notes=[*_notes(all_), *source.notes, *made.damage.notes],
    )


def _notes(heard: Sequence[Heard]) -> list[str]:
    found = [note for one in heard for note in one.notes]
    if any(one.draft for one in heard):
        found.append("a draft by PocketSphinx, which hears English only and many words wrongly")
    return list(dict.fromkeys(found))


#: Characters of JSON that a transcript may take of a job's result, of which there are a million at most.
_MOST_CHARACTERS: Final = 400_000


def shortened(whole: Transcript) -> Transcript:
    """Return a transcript as a job's result carries it: a long one without words, or without its end."""
    if len(whole.model_dump_json().encode()) <= _MOST_CHARACTERS:
        return whole
    shown = [one.model_copy(update={"words": []}) for one in whole.segments]
    left, fitting = _MOST_CHARACTERS, 0
    for one in shown:
        left -= len(one.model_dump_json().encode())
        if left < 0:
            break
        fitting += 1
    return whole.model_copy(update={"segments": shown[:fitting], "shortened": True})
