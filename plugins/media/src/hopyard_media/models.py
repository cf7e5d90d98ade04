"""What the tasks take and give."""

from __future__ import annotations

from typing import Any, Literal

from hopyard import trees
from pydantic import BaseModel

EngineName = Literal["local", "whisper", "cloud", "hybrid"]
Speakers = Literal["none", "channels", "voices"]
Format = Literal["srt", "vtt", "txt", "json"]


class Word(BaseModel):
    """A word, from `start` to `end` in seconds; `confidence` to 1, None where the engine gives none."""

    word: str
    start: float
    end: float
    confidence: float | None = None


class Segment(BaseModel):
    """What one speaker says without a longer pause. `words` is empty where the engine tells no times."""

    start: float
    end: float
    text: str
    speaker: str | None = None
    words: list[Word] = []


class Transcript(BaseModel):
    """What is said in a recording.

    `draft`: by the recognizer that is always there, of which many words are wrong. `language` is an ISO 639-1
    code, None where nobody knows. `known` parts of all `parts` were heard by an earlier job. `isolated`: what
    heard it was cut off from the network, all the time. `shortened`: it is too long for a job's result, so
    words, or also segments, are left out; files and `hopyard media show --format` have all of it.
    """

    root: str
    way: str
    sha256: str
    duration: float
    engine: str
    language: str | None
    draft: bool
    isolated: bool
    confidence: float | None
    segments: list[Segment]
    parts: int
    known: int
    notes: list[str] = []
    files: dict[str, str] = {}
    """Where files were written, by format: ways below the root `output`."""
    shortened: bool = False

    @property
    def text(self) -> str:
        """All that is said, a segment a line."""
        return "\n".join(one.text for one in self.segments)

    @property
    def summary(self) -> str:
        """It in a line."""
        draft = ", a draft" if self.draft else ""
        heard = f"{self.duration:,.0f} s, {len(self.segments)} segments by {self.engine}{draft}"
        return f"{trees.shown(self.way)}: {heard}; {self.known} of {self.parts} parts were known"


class Stage(BaseModel):
    """A stage of the work on a video.

    `done`: by this job, in its `attempt`. `known`: it was kept already, by an earlier job or by an attempt
    that died before it could say so. `skipped` and `failed`: `detail` says why.
    """

    name: str
    state: Literal["done", "known", "skipped", "failed"]
    attempt: int
    detail: str = ""


class Picture(BaseModel):
    """A picture of a video; `file` is its way below the root `output`, `at` its moment in seconds."""

    file: str
    at: float = 0.0
    width: int
    height: int
    size: int


class Insights(BaseModel):
    """What the ai plugin finds in what is said. `offline`: by its rules, without a model."""

    summary: str
    key_points: list[str]
    topics: list[str]
    entities: list[str]
    offline: bool


class Video(BaseModel):
    """What is known of a video. `scenes` are the moments at which one begins, in seconds."""

    root: str
    way: str
    sha256: str
    size: int
    duration: float
    format: str
    streams: list[dict[str, Any]]
    tags: dict[str, str]
    transcript: Transcript | None = None
    scenes: list[float] = []
    key_frames: list[Picture] = []
    sheet: Picture | None = None
    sound: str | None = None
    """The sound as a WAV file (16 kHz, one channel), below the root `output`."""
    insights: Insights | None = None
    notes: list[str] = []
    """What is odd about it, such as places that cannot be decoded."""
    stages: list[Stage] = []

    @property
    def summary(self) -> str:
        """It in a line."""
        told = ", ".join(f"{one.name} {one.state}" for one in self.stages)
        return f"{trees.shown(self.way)}: {self.duration:,.0f} s, {self.format}; {told}"


class Chapter(BaseModel):
    """A part of a recording that is about one thing, from `start` to `end` in seconds."""

    start: float
    end: float
    title: str
    summary: str


class Enhancement(BaseModel):
    """What the ai plugin makes of a recording. `missing` says what it gave no answer to, and why.

    `offline`: by its rules, without a model. `draft`: of a transcript in which many words are wrong.
    """

    root: str
    way: str
    sha256: str
    duration: float
    language: str | None
    digest: str
    topics: list[str]
    chapters: list[Chapter]
    learning_insights: list[str]
    tags: list[str]
    offline: bool
    draft: bool
    known: bool = False
    missing: list[str] = []
    notes: list[str] = []

    @property
    def summary(self) -> str:
        """It in a line."""
        offline = ", offline" if self.offline else ""
        return f"{trees.shown(self.way)}: {len(self.chapters)} chapters, {len(self.topics)} topics{offline}"


class BatchItem(BaseModel):
    """What became of one recording of a batch; `problem` says what is wrong with one that `failed`."""

    way: str
    state: Literal["waiting", "done", "failed"]
    duration: float | None = None
    segments: int | None = None
    files: dict[str, str] = {}
    problem: str | None = None


class BatchReport(BaseModel):
    """What became of a batch. `items` are those that failed first, and at most a thousand."""

    job: str
    root: str
    total: int
    done: int
    failed: int
    seconds: float
    """Of sound, in those that are done."""
    items: list[BatchItem]
    troubles: list[str] = []
    """Directories that could not be looked into."""

    @property
    def summary(self) -> str:
        """It in a line."""
        return f"{self.done} of {self.total} recordings transcribed, {self.failed} failed"


class Recording(BaseModel):
    """A recording that was worked on. `problem` says what was wrong the last time, if anything."""

    root: str
    way: str
    sha256: str | None
    duration: float | None
    transcribed: bool
    processed: bool
    problem: str | None
    at: str


class Known(BaseModel):
    """All that is kept of a recording."""

    recording: Recording
    transcript: Transcript | None
    video: Video | None


class Forgotten(BaseModel):
    """How much was removed because it was kept long enough."""

    results: int
    recordings: int
    batches: int
    files: int
    """That a job left behind half-written when it died."""
