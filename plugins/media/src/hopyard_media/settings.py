"""The plugin's settings."""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

from hopyard import PluginSettings
from hopyard.fields import BaseUrl
from hopyard.roots import Roots
from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator


def _directory(value: str) -> str:
    if not os.path.isdir(value):
        raise ValueError("expected a directory that is there")
    return value


def _file(value: str) -> str:
    if not os.path.isfile(value):
        raise ValueError("expected a file that is there")
    return value


class Cloud(PluginSettings):
    """An OpenAI-compatible server that transcribes."""

    base_url: BaseUrl = Field(description="Such as https://api.openai.com/v1.")
    api_key: SecretStr | None = Field(None, description="Of the server.")
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        "whisper-1", description="The model's name there."
    )
    timeout: float = Field(300.0, gt=0, le=3600, description="Seconds for one part.")


class Whisper(PluginSettings):
    """A Whisper model on this machine, with the extra whisper."""

    model: Annotated[str, AfterValidator(_directory)] = Field(
        description="The directory of a model that was converted for CTranslate2."
    )
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="What it runs on.")
    compute_type: str = Field("int8", pattern=r"^[a-z0-9_]{1,30}$", description="Such as int8 or float16.")


class Voices(PluginSettings):
    """Two ONNX models on this machine that tell voices apart, with the extra diarize."""

    segmentation: Annotated[str, AfterValidator(_file)] = Field(
        description="The file of a model that finds turns: pyannote's segmentation 3.0 as sherpa-onnx has it."
    )
    embedding: Annotated[str, AfterValidator(_file)] = Field(
        description="The file of a model that makes vectors of voices, as sherpa-onnx has them."
    )
    speakers: int = Field(0, ge=0, le=100, description="How many there are, if that is known.")
    threshold: float = Field(
        0.5, gt=0, lt=2, description="How much voices must differ to be two; a larger one finds fewer."
    )
    max_seconds: float = Field(
        3600.0, gt=0, le=6 * 3600, description="Of a recording, which is worked on as a whole."
    )


class Limits(PluginSettings):
    """How much one recording may take."""

    max_bytes: int = Field(20_000_000_000, gt=0, description="Of a file.")
    max_seconds: float = Field(12 * 3600.0, gt=0, le=24 * 3600, description="Of a recording.")
    max_pixels: int = Field(40_000_000, gt=0, description="Of one picture of a video.")
    part_seconds: float = Field(300.0, ge=10, le=3600, description="Seconds that are worked on at once.")
    memory: int = Field(2_000_000_000, ge=300_000_000, description="Bytes of memory of a child process.")
    seconds_per_second: float = Field(
        5.0, gt=0, le=100, description="Seconds of CPU for a second of a recording, and 60 more."
    )


class Pictures(PluginSettings):
    """Which pictures are taken of a video."""

    count: int = Field(12, ge=1, le=60, description="Key frames, and pictures on the sheet.")
    width: int = Field(640, ge=64, le=3840, description="Of a key frame, in pixels, at most.")
    columns: int = Field(4, ge=1, le=10, description="Of the sheet.")
    threshold: float = Field(
        0.3, gt=0, lt=1, description="How much must change between two pictures for another scene to begin."
    )


class Questions(PluginSettings):
    """What the ai plugin is asked about what is said."""

    local: bool = Field(
        False, description="Its model is on this machine: it is asked with `privacy` as well."
    )
    seconds: float = Field(900.0, gt=0, le=3600, description="An answer may take.")
    characters: int = Field(400_000, ge=1000, le=900_000, description="Of a text that it is given.")
    chapters: int = Field(12, ge=1, le=50, description="That a recording is divided into, at most.")


class MediaSettings(PluginSettings):
    """Where recordings are, and who hears them."""

    roots: Roots = Field(default_factory=dict, description="Directories that tasks may work in, by name.")
    output: str | None = Field(
        None, description="The writable root for subtitle files and pictures; none are written unless given."
    )
    engine: Literal["local", "whisper", "cloud", "hybrid"] = Field(
        "local",
        description="Who transcribes: PocketSphinx, a draft; Whisper; the cloud; or the local one "
        "first, and the cloud where that is unsure.",
    )
    privacy: bool = Field(False, description="Nothing leaves the machine: the cloud is refused.")
    cloud: Cloud | None = Field(None, description="A server that transcribes.")
    cloud_below: float = Field(
        0.6, ge=0, le=1, description="Confidence below which `hybrid` asks the cloud about a part."
    )
    whisper: Whisper | None = Field(None, description="A Whisper model on this machine.")
    voices: Voices | None = Field(None, description="Models that tell speakers in one channel apart.")
    pictures: Pictures = Field(default_factory=Pictures, description="Which pictures are taken of a video.")
    ai: Questions = Field(
        default_factory=Questions, description="What the ai plugin is asked about what is said."
    )
    limits: Limits = Field(default_factory=Limits, description="How much one recording may take.")
    keep_days: float = Field(90.0, ge=0, le=3660, description="Days that what was heard and seen is kept.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.output is not None and not (self.output in self.roots and self.roots[self.output].writable):
            raise ValueError(f"`output` is `{self.output}`: expected one of `roots` that is `writable`")
        if self.privacy and self.engine in ("cloud", "hybrid"):
            raise ValueError(
                f"`engine` is `{self.engine}`, which `privacy` forbids: expected local or whisper"
            )
        if self.engine in ("cloud", "hybrid") and self.cloud is None:
            raise ValueError(f"`engine` is `{self.engine}`: expected `cloud`, the server that transcribes")
        if self.engine == "whisper" and self.whisper is None:
            raise ValueError("`engine` is `whisper`: expected `whisper`, the model's directory")
        return self
