"""The tasks. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from typing import Annotated

from hopyard import Job, RetryPolicy, Tool, task
from pydantic import Field

from hopyard_media.models import (
    BatchReport,
    EngineName,
    Enhancement,
    Forgotten,
    Format,
    Known,
    Recording,
    Speakers,
    Transcript,
    Video,
)

#: What was heard and seen is kept, so that another try costs only what is missing.
_RETRY = RetryPolicy(max_retries=5, backoff=30, max_backoff=1800)
_Many = Annotated[int, Field(ge=1, le=1000)]
_Days = Annotated[float, Field(ge=0, le=3660)]
_LONG = 12 * 3600.0
_READS = Tool(read_only=True, idempotent=True)
#: It may cost money, and write files.
_WORKS = Tool(approval=True, idempotent=True)


@task("media.transcribe_audio", retry=_RETRY, time_limit=_LONG, tool=_WORKS)
async def transcribe_audio(
    job: Job,
    root: str,
    way: str,
    language: str | None = None,
    speakers: Speakers = "none",
    engine: EngineName | None = None,
    formats: list[Format] | None = None,
) -> Transcript:
    """Say what is said in a recording below a root, with word times; write subtitles if asked."""
    from hopyard_media.speech.transcribing import Wish, shortened, transcribe

    wish = Wish(language, speakers, engine, formats or ())
    return shortened(await transcribe(job.progress, root, way, wish))


@task("media.process_video", retry=_RETRY, time_limit=_LONG, tool=_WORKS)
async def process_video(
    job: Job,
    root: str,
    way: str,
    language: str | None = None,
    speakers: Speakers = "none",
    engine: EngineName | None = None,
    formats: list[Format] | None = None,
    sound: bool = False,
    insights: bool = True,
) -> Video:
    """Say what a video is: metadata, transcript, scenes, pictures, contact sheet, insights; its sound.

    Each stage is kept: a job that dies goes on after the last one that was done.
    """
    from hopyard_media.speech.transcribing import Wish
    from hopyard_media.video.processing import process

    wish = Wish(language, speakers, engine, formats or ())
    return await process(job, root, way, wish, sound=sound, insights=insights)


@task("media.enhance_video_with_ai", retry=_RETRY, time_limit=_LONG, tool=_WORKS)
async def enhance_video_with_ai(
    job: Job,
    root: str,
    way: str,
    language: str | None = None,
    engine: EngineName | None = None,
    fresh: bool = False,
) -> Enhancement:
    """Make a summary, topics, chapters, learning insights and tags of what is said in a recording.

    `fresh`: the ai plugin is asked although it answered before.
    """
    from hopyard_media.enhancing import enhance
    from hopyard_media.speech.transcribing import Wish

    return await enhance(job, root, way, Wish(language, "none", engine), fresh=fresh)


@task("media.batch_transcribe_videos", queue="media.batch", retry=_RETRY, time_limit=7 * 86_400.0)
async def batch_transcribe_videos(
    job: Job,
    root: str,
    ways: list[str] | None = None,
    under: str = "",
    patterns: list[str] | None = None,
    language: str | None = None,
    speakers: Speakers = "none",
    engine: EngineName | None = None,
    formats: list[Format] | None = None,
) -> BatchReport:
    """Transcribe many recordings one by one: those named, or those below a directory that fit patterns."""
    from hopyard_media.batch import PATTERNS, transcribe_all
    from hopyard_media.speech.transcribing import Wish

    wish = Wish(language, speakers, engine, formats or ())
    return await transcribe_all(job, root, ways, under, patterns or PATTERNS, wish)


@task("media.list_recordings", time_limit=60, tool=_READS)
async def list_recordings(root: str | None = None, limit: _Many = 100) -> list[Recording]:
    """List the recordings that were transcribed or looked at, the latest first."""
    from hopyard_media.recordings import listed

    return await listed(root, limit)


@task("media.show_recording", time_limit=60, tool=_READS)
async def show_recording(root: str, way: str) -> Known:
    """Show what is known of a recording: its transcript, scenes, pictures, insights."""
    from hopyard_media.recordings import shown
    from hopyard_media.speech.transcribing import shortened

    found = await shown(root, way)
    if found.transcript is not None:
        found.transcript = shortened(found.transcript)
    return found


@task("media.forget_old_results", time_limit=600)
async def forget_old_results(days: _Days | None = None) -> Forgotten:
    """Remove what was kept for so many days, and what jobs that died left half-written."""
    from hopyard_media.keeping import forget

    return await forget(days)


TASKS = (
    transcribe_audio,
    process_video,
    enhance_video_with_ai,
    batch_transcribe_videos,
    list_recordings,
    show_recording,
    forget_old_results,
)
