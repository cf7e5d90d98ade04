"""What the commands print for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hopyard.cli import say, table

if TYPE_CHECKING:
    from hopyard_media.models import BatchReport, Enhancement, Known, Recording, Transcript, Video


def transcript(made: Transcript) -> None:
    """Print a transcript, a segment a line."""
    say(made.summary)
    for note in made.notes:
        say(f"  {note}")
    for one in made.segments:
        said = f"{one.speaker}: {one.text}" if one.speaker else one.text
        say(f"{_clock(one.start)}  {said}")
    for name in made.files.values():
        say(f"  written: {name}")
    if made.shortened:
        say("  there may be more: `hopyard media show --format txt` has all of it", err=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def video(found: Video) -> None:
    """Print what is known of a video."""
    say(f"{found.way}: {found.duration:,.1f} s, {found.format}, {found.size:,} bytes")
    table(
        "Stages",
        ("stage", "state", "attempt", "about"),
        [(one.name, one.state, one.attempt, one.detail) for one in found.stages],
    )
    if found.scenes:
        say(f"Scenes begin at {', '.join(_clock(at) for at in found.scenes[:50])}")
    for picture in [*found.key_frames, *([found.sheet] if found.sheet else [])]:
        say(f"  {picture.file} ({picture.width} x {picture.height})")
    if found.insights is not None:
        say(found.insights.summary)


def enhancement(found: Enhancement) -> None:
    """Print what the ai plugin made of a recording."""
    say(found.summary)
    say(found.digest)
    table(
        "Chapters",
        ("from", "to", "title"),
        [(_clock(c.start), _clock(c.end), c.title) for c in found.chapters],
    )
    for title, lines in (
        ("Topics", found.topics),
        ("Insights", found.learning_insights),
        ("Tags", found.tags),
    ):
        if lines:
            say(f"{title}: {'; '.join(lines)}")
    for line in [*found.missing, *found.notes]:
        say(f"  {line}")


def batch(found: BatchReport) -> None:
    """Print what became of a batch."""
    rows = [(one.way, one.state, one.duration, one.segments, one.problem) for one in found.items]
    table("Recordings", ("recording", "state", "seconds", "segments", "problem"), rows)
    for line in found.troubles:
        say(f"  {line}")
    say(found.summary)


def known(kept: Known) -> None:
    """Print all that is kept of a recording."""
    recordings([kept.recording])
    if kept.video is not None:
        video(kept.video)
    if kept.transcript is not None:
        transcript(kept.transcript)


def recordings(found: list[Recording]) -> None:
    """Print a table of recordings."""
    yes = {True: "yes", False: ""}
    table(
        "Recordings",
        ("root", "recording", "seconds", "transcribed", "processed", "problem", "at"),
        [(r.root, r.way, r.duration, yes[r.transcribed], yes[r.processed], r.problem, r.at) for r in found],
    )
