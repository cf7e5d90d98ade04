"""Who hears a part of a recording: PocketSphinx, Whisper, the cloud, or one after the other."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from hopyard import Hopyard
from hopyard.errors import InvalidInput

from hopyard_media.sources import Source, settings
from hopyard_media.speech import answers
from hopyard_media.speech.versions import version_of

if TYPE_CHECKING:
    from hopyard_media.models import EngineName
    from hopyard_media.settings import Cloud

_RATE: Final = 16_000
_HEADER: Final = 44
_LONGEST_ANSWER: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of a part: utterances, each with `words`, or with `start`, `end` and `text` alone."""

    engine: str
    utterances: list[dict[str, Any]]
    language: str | None
    draft: bool
    isolated: bool
    notes: list[str] = field(default_factory=list)

    @property
    def confidence(self) -> float | None:
        """The mean confidence of its words; None where nobody says."""
        known = [
            word["confidence"]
            for one in self.utterances
            for word in one.get("words", ())
            if word.get("confidence") is not None
        ]
        return sum(known) / len(known) if known else None


class Engine(Protocol):
    """Hears parts of recordings. `key` stands for it where results are kept."""

    key: tuple[Any, ...]

    async def hear(self, source: Source, start: float, end: float, channel: int | None) -> Heard:
        """Return what is said from `start` to `end`, in seconds; in one channel, or in all."""


class Local:
    """PocketSphinx with its English model."""

    key: tuple[Any, ...] = ("local", 2)  # 2: it hears otherwise, so what is kept of 1 is heard again

    async def hear(self, source: Source, start: float, end: float, channel: int | None) -> Heard:
        """Return what is said. Raises `InvalidInput` for what cannot be decoded."""
        order = {"start": start, "end": end, "channel": channel}
        told = await source.told("hear", order, end - start)
        return Heard("local", told["answer"], "en", True, told["isolated"])


class Whisper:
    """A Whisper model on this machine."""

    def __init__(self, language: str | None) -> None:
        self._language = language
        own = settings().whisper
        if own is None:
            raise InvalidInput(
                "the engine whisper: expected `whisper` in the settings, the model's directory"
            )
        self._own = own
        version = version_of(own.model, "whisper")
        self.key: tuple[Any, ...] = ("whisper", own.model, version, own.compute_type, language)

    async def hear(self, source: Source, start: float, end: float, channel: int | None) -> Heard:
        """Return what is said. Raises `InvalidInput` where the extra is missing, or for an odd model."""
        order = {"start": start, "end": end, "channel": channel, "language": self._language}
        order |= {"model": self._own.model, "device": self._own.device, "compute": self._own.compute_type}
        told = await source.told("whisper", order, end - start)
        answer = told["answer"]
        return Heard("whisper", answer["utterances"], answer["language"], False, told["isolated"])


class ByCloud:
    """A server with OpenAI's API for transcriptions."""

    def __init__(self, cloud: Cloud | None, language: str | None) -> None:
        if cloud is None:
            raise InvalidInput("the engine cloud: expected `cloud` in the settings, the server's address")
        if settings().privacy:
            raise InvalidInput("the engine cloud: `privacy` is set, so nothing may leave this machine")
        self._cloud = cloud
        self._language = language
        self.key: tuple[Any, ...] = ("cloud", cloud.base_url, cloud.model, language)

    async def hear(self, source: Source, start: float, end: float, channel: int | None) -> Heard:
        """Return what the server heard. Raises the task errors of the egress."""
        sound = os.memfd_create("hopyard-sound", os.MFD_CLOEXEC)
        try:
            order = {"start": start, "end": end, "channel": channel}
            order["most_bytes"] = int((end - start + 1) * _RATE * 2) + _HEADER
            await source.do("wave", order, end - start, out=sound)
            data = os.pread(sound, os.fstat(sound).st_size, 0)
        finally:
            os.close(sound)
        answer = await self._asked(data)
        return Heard("cloud", answers.utterances(answer, start, end), answers.language(answer), False, False)

    async def _asked(self, sound: bytes) -> dict[str, Any]:
        own = self._cloud
        key = own.api_key.get_secret_value() if own.api_key else ""
        form = {"model": own.model, "response_format": "verbose_json"}
        form |= {"language": self._language} if self._language else {}
        url = f"{own.base_url.rstrip('/')}/audio/transcriptions"
        response = await Hopyard.current().egress.request(
            "POST",
            url,
            form={**form, "timestamp_granularities[]": ["word", "segment"]},
            files={"file": ("part.wav", sound, "audio/wav")},
            headers={"Authorization": f"Bearer {key}"} if key else {},
            max_bytes=_LONGEST_ANSWER,
            timeout=own.timeout,
        )
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            raise InvalidInput(f"{url}: found an answer that is no JSON, expected verbose_json") from None
        if not isinstance(answer, dict):
            raise InvalidInput(f"{url}: found an answer that is no object, expected verbose_json")
        return answer


class Hybrid:
    """The local engine first; the cloud about a part of which that is unsure."""

    def __init__(self, near: Engine, far: ByCloud, below: float) -> None:
        self._near = near
        self._far = far
        self._below = below
        self.key: tuple[Any, ...] = ("hybrid", *near.key, *far.key, below)

    async def hear(self, source: Source, start: float, end: float, channel: int | None) -> Heard:
        """Return what is said. Raises as both do."""
        heard = await self._near.hear(source, start, end, channel)
        if not heard.utterances or (heard.confidence is not None and heard.confidence >= self._below):
            return heard
        return await self._far.hear(source, start, end, channel)


def engine_of(name: EngineName | None, language: str | None) -> Engine:
    """Return an engine, the configured one unless named. Raises `InvalidInput` for one that is not set up."""
    own = settings()
    chosen = name or own.engine
    if language is not None and not answers.LANGUAGE.fullmatch(language):
        raise InvalidInput(f"language: found {language[:40]!r}, expected a code such as en")
    if chosen == "local" and language not in (None, "en"):
        raise InvalidInput(f"language: found {language!r}, expected en: the engine local hears English only")
    if chosen == "cloud":
        return ByCloud(own.cloud, language)
    if chosen == "whisper":
        return Whisper(language)
    if chosen == "hybrid":
        near = Whisper(language) if own.whisper is not None else Local()
        return Hybrid(near, ByCloud(own.cloud, language), own.cloud_below)
    return Local()
