"""`hopyard media …` from a shell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
from hopyard.cli import emit, json_option, say, submitted, with_hopyard

from hopyard_media import rendering
from hopyard_media.models import EngineName, Format, Speakers

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_media.models import BatchReport, Transcript

Command = TypeVar("Command", bound=Callable[..., Any])
_FORMATS = click.Choice([*get_args(Format)])
_root = click.argument("root")
_way = click.argument("way")
_format = click.option("--format", "shape", type=_FORMATS, help="Print the whole transcript in this format.")


def _hearing(command: Command) -> Command:
    """Give a command the options of all that hears."""
    for option in (
        click.option("--engine", type=click.Choice([*get_args(EngineName)]), help="Who transcribes."),
        click.option("--language", help="What is spoken, such as en; detected unless given."),
    ):
        command = option(command)
    return command


def _writing(command: Command) -> Command:
    """Give a command the options of all that writes transcripts."""
    for option in (
        click.option(
            "--speakers",
            type=click.Choice([*get_args(Speakers)]),
            default="none",
            show_default=True,
            help="Whether each channel is a speaker, or they are told apart by voice.",
        ),
        click.option(
            "--write", "formats", type=_FORMATS, multiple=True, help="Write it below the root `output`, too."
        ),
    ):
        command = option(command)
    return command


def _have(task: str, /, **arguments: Any) -> Any:
    return with_hopyard(lambda hopyard: submitted(hopyard, task, arguments))


@click.command("transcribe")
@_root
@_way
@_hearing
@_writing
@_format
@json_option
def transcribe(
    root: str,
    way: str,
    language: str | None,
    engine: str | None,
    speakers: str,
    formats: tuple[str, ...],
    shape: str | None,
    as_json: bool,
) -> None:
    """Have a worker transcribe the recording WAY below ROOT."""

    async def work(hopyard: Hopyard) -> tuple[Any, str | None]:
        wishes = {"language": language, "engine": engine, "speakers": speakers, "formats": [*formats]}
        made = await submitted(hopyard, "media.transcribe_audio", {"root": root, "way": way, **wishes})
        return made, await _whole(root, way, shape)

    made, text = with_hopyard(work)
    _print(made, text, as_json)


async def _whole(root: str, way: str, shape: str | None) -> str | None:
    """Return a kept transcript in a format, if one is wanted."""
    if shape is None:
        return None
    from hopyard.errors import InvalidInput

    from hopyard_media.recordings import shown
    from hopyard_media.speech.formats import text_of

    kept = (await shown(root, way)).transcript
    if kept is None:
        raise InvalidInput(f"{way}: there is no transcript of it: hopyard media transcribe {root} {way}")
    return text_of(kept, shape)  # type: ignore[arg-type]  # click has looked at it


def _print(made: Transcript, text: str | None, as_json: bool) -> None:
    if text is not None:
        say(made.summary, err=True)
        say(text.rstrip("\n"))
        return
    emit(made, as_json, rendering.transcript)


@click.command("process")
@_root
@_way
@_hearing
@_writing
@click.option("--sound", is_flag=True, help="Write the sound as a WAV file.")
@click.option("--insights/--no-insights", default=True, help="Ask the ai plugin, or not.")
@json_option
def process(root: str, way: str, as_json: bool, formats: tuple[str, ...], **wishes: Any) -> None:
    """Have a worker find out all about the video WAY below ROOT."""
    found = _have("media.process_video", root=root, way=way, formats=[*formats], **wishes)
    emit(found, as_json, rendering.video)


@click.command("enhance")
@_root
@_way
@_hearing
@click.option("--fresh", is_flag=True, help="Ask again what was answered before.")
@json_option
def enhance(
    root: str, way: str, language: str | None, engine: str | None, fresh: bool, as_json: bool
) -> None:
    """Have the ai plugin make chapters, topics and more of the recording WAY below ROOT."""
    found = _have(
        "media.enhance_video_with_ai", root=root, way=way, language=language, engine=engine, fresh=fresh
    )
    emit(found, as_json, rendering.enhancement)


@click.command("batch")
@click.argument("root_or_job")
@click.argument("ways", nargs=-1)
@click.option("--under", default="", help="A directory below the root.")
@click.option("--pattern", "patterns", multiple=True, help="Which names; those of recordings unless given.")
@_hearing
@_writing
@json_option
def batch(
    root_or_job: str,
    ways: tuple[str, ...],
    patterns: tuple[str, ...],
    formats: tuple[str, ...],
    as_json: bool,
    **wishes: Any,
) -> None:
    """Have a worker transcribe many recordings; with the id of a batch's job, show what became of it."""

    async def work(hopyard: Hopyard) -> Any:
        from hopyard_media import batch as batches
        from hopyard_media.sources import settings

        if root_or_job not in settings().roots and not ways:
            return await batches.report(root_or_job, known=settings().roots)
        which = {"root": root_or_job, "ways": [*ways] or None, "patterns": [*patterns] or None}
        arguments = {**which, "formats": [*formats], **wishes}
        return await submitted(hopyard, "media.batch_transcribe_videos", arguments)

    found: BatchReport = with_hopyard(work)
    emit(found, as_json, rendering.batch)
    if found.failed:
        sys.exit(1)


@click.command("show")
@_root
@_way
@_format
@json_option
def show(root: str, way: str, shape: str | None, as_json: bool) -> None:
    """Show what is known of the recording WAY below ROOT."""

    async def work(hopyard: Hopyard) -> tuple[Any, str | None]:
        from hopyard_media.recordings import shown

        return await shown(root, way), await _whole(root, way, shape)

    known, text = with_hopyard(work)
    if text is not None:
        say(text.rstrip("\n"))
        return
    emit(known, as_json, rendering.known)


@click.command("list")
@click.argument("root", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many.")
@json_option
def list_(root: str | None, limit: int, as_json: bool) -> None:
    """List the recordings that were worked on, the latest first."""

    async def work(hopyard: Hopyard) -> Any:
        from hopyard_media.recordings import listed

        return await listed(root, limit)

    emit(with_hopyard(work), as_json, rendering.recordings)


COMMANDS = (transcribe, process, enhance, batch, show, list_)
