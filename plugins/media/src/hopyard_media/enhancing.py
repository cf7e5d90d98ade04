"""What the ai plugin makes of a recording: summary, topics, chapters, learning insights, tags."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from hopyard import trees
from hopyard.errors import InvalidInput

from hopyard_media import store
from hopyard_media.assistant import PROCESS, Unanswered, ask, check_allowed, insights_of, lines
from hopyard_media.chapters import chapters
from hopyard_media.models import Chapter, Enhancement, Segment, Transcript
from hopyard_media.recordings import worked_on
from hopyard_media.sources import settings
from hopyard_media.speech.transcribing import Wish, transcript_of

if TYPE_CHECKING:
    from hopyard import Job

_TITLE: Final = 80
_MOST_TAGS: Final = 20


async def enhance(job: Job, root: str, way: str, wish: Wish, *, fresh: bool) -> Enhancement:
    """Return what the ai plugin makes of what is said in a recording, which is heard first if it was not.

    What it gives no answer to is in `missing`. Raises `InvalidInput` where there is no ai plugin, where it
    must not be asked, and where nothing is said; and as `transcribe`.
    """
    engine = wish.checked()
    try:
        check_allowed()
    except Unanswered as error:
        raise InvalidInput(str(error)) from None
    async with worked_on(root, way) as source:
        made = await transcript_of(job.progress, source, engine, wish)
        if not made.segments:
            raise InvalidInput(f"{trees.shown(way)}: nothing was heard in it that could be enhanced")
        options = store.digest("enhanced", made.text, settings().ai.chapters)
        kept = None if fresh else await store.one(source.sha256, options, "enhanced")
        if kept is not None:
            return Enhancement(**{**kept, "root": root, "way": way, "known": True})
        found = await _enhanced(job, made)
        if not found.missing and not found.offline:  # what a model has answered in full is asked for once
            await store.keep(source.sha256, options, "enhanced", found.model_dump(mode="json"))
        return found


async def _enhanced(job: Job, made: Transcript) -> Enhancement:
    own = settings().ai
    parts = await asyncio.to_thread(chapters, made.segments, made.duration, own.chapters)
    total = len(parts) + 2
    job.progress(0, total, "asking what it is about")
    try:
        whole = await insights_of(job, made.text, own.seconds)
    except Unanswered as error:
        if error.later:
            raise
        raise InvalidInput(str(error)) from None  # the ai plugin has tried again by itself
    found = Enhancement(
        root=made.root,
        way=made.way,
        sha256=made.sha256,
        duration=made.duration,
        language=made.language,
        digest=whole.summary,
        topics=whole.topics,
        chapters=[],
        learning_insights=[],
        tags=_tags(whole.topics, whole.entities),
        offline=whole.offline,
        draft=made.draft,
        notes=[*made.notes],
    )
    if len(made.text) > own.characters:
        found.notes.append(f"the summary is of the first {own.characters:,} characters of {len(made.text):,}")
    for n, part in enumerate(parts):
        job.progress(n + 1, total, f"asking about chapter {n + 1} of {len(parts)}")
        found.chapters.append(await _chapter(job, part, found, alone=len(parts) == 1))
    job.progress(total - 1, total, "asking what can be learned from it")
    try:
        text = made.text[: own.characters]
        answer = await ask(job, PROCESS, own.seconds, content=text, operation="extract_insights")
        found.learning_insights = lines(answer.get("points"))
    except Unanswered as error:
        found.missing.append(f"learning insights: {error}")
    job.progress(total, total, "enhanced")
    return found


async def _chapter(job: Job, part: list[Segment], found: Enhancement, *, alone: bool) -> Chapter:
    """Return a chapter with its title; without an answer about it, that is how it begins."""
    text = "\n".join(one.text for one in part)
    span: dict[str, Any] = {"start": part[0].start, "end": part[-1].end}
    own = settings().ai
    try:
        if alone:
            return Chapter(**span, title=_title(found.topics, found.digest, text), summary=found.digest)
        told = await insights_of(job, text, own.seconds)
    except Unanswered as error:
        found.missing.append(f"chapter at {part[0].start:,.0f} s: {error}")
        return Chapter(**span, title=_title([], "", text), summary="")
    return Chapter(**span, title=_title(told.topics, told.summary, text), summary=told.summary)


def _title(topics: list[str], summary: str, text: str) -> str:
    """Return a chapter's title: what it is about, or how it begins."""
    chosen = ", ".join(topics[:3]) or summary or text
    line = " ".join(chosen.split())
    return line if len(line) <= _TITLE else f"{line[: _TITLE - 1].rpartition(' ')[0]}…"


def _tags(topics: list[str], entities: list[str]) -> list[str]:
    """Return topics and names as tags: lower-case, each once."""
    return list(dict.fromkeys(one.lower()[:60] for one in [*topics, *entities]))[:_MOST_TAGS]
