"""Transcripts as files: SubRip, WebVTT, plain text, JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, get_args

from hopyard.errors import InvalidInput

from hopyard_media.models import Format, Segment, Transcript

_ARROW: Final = re.compile("-{2,}>")
_MARKUP: Final = str.maketrans("<>{}", "‹›()")


def check(formats: Iterable[str]) -> None:
    """Raise `InvalidInput` for a format that is none."""
    if wrong := [one for one in formats if one not in get_args(Format)]:
        raise InvalidInput(f"formats: found {wrong[0]!r}, expected some of {', '.join(get_args(Format))}")


def text_of(transcript: Transcript, wanted: Format) -> str:
    """Return a transcript in a format."""
    if wanted == "json":
        return transcript.model_dump_json(indent=2)
    if wanted == "txt":
        return "\n".join(_said(one) for one in transcript.segments) + "\n"
    if wanted == "srt":
        blocks = [
            f"{n}\n{_clock(one.start, ',')} --> {_clock(one.end, ',')}\n{_plain(_said(one))}\n"
            for n, one in enumerate(transcript.segments, 1)
        ]
        return "\n".join(blocks)
    blocks = [
        f"{_clock(one.start, '.')} --> {_clock(one.end, '.')}\n{_escaped(one)}\n"
        for one in transcript.segments
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _said(one: Segment) -> str:
    return f"{one.speaker}: {one.text}" if one.speaker else one.text


def _line(text: str) -> str:
    """Return a text that cannot end its block, or begin another one."""
    return _ARROW.sub("->", " ".join(text.split()))


def _plain(text: str) -> str:
    """Return a line in which players see no markup: SubRip has no way to write `<` and `{` themselves."""
    return _line(text).translate(_MARKUP)


def _escaped(one: Segment) -> str:
    text, speaker = (
        _line(given).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for given in (one.text, one.speaker or "")
    )
    return f"<v {speaker}>{text}" if speaker else text


def _clock(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"
