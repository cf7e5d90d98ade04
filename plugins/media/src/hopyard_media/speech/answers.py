"""What transcription servers answer: the `verbose_json` of OpenAI's API."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from hopyard.errors import InvalidInput

LANGUAGE: Final = re.compile("[a-z]{2,3}")
#: By names, as OpenAI's server says them, the codes of the languages that it hears best.
_NAMES: Final = (
    "afrikaans=af arabic=ar armenian=hy azerbaijani=az belarusian=be bosnian=bs bulgarian=bg catalan=ca "
    "chinese=zh croatian=hr czech=cs danish=da dutch=nl english=en estonian=et finnish=fi french=fr "
    "galician=gl german=de greek=el hebrew=he hindi=hi hungarian=hu icelandic=is indonesian=id italian=it "
    "japanese=ja kannada=kn kazakh=kk korean=ko latvian=lv lithuanian=lt macedonian=mk malay=ms marathi=mr "
    "maori=mi nepali=ne norwegian=no persian=fa polish=pl portuguese=pt romanian=ro russian=ru serbian=sr "
    "slovak=sk slovenian=sl spanish=es swahili=sw swedish=sv tagalog=tl tamil=ta thai=th turkish=tr "
    "ukrainian=uk urdu=ur vietnamese=vi welsh=cy"
)
#: Of an answer, and how many more for a second of sound: nobody speaks so fast.
_MOST_CHARACTERS: Final = (1_000, 100)
_MOST_PIECES: Final = (100, 15)
_CODES: Final = dict(re.findall(r"(\w+)=(\w+)", _NAMES))


def language(answer: dict[str, Any]) -> str | None:
    """Return the language that a server names, as its code where that is known."""
    found = answer.get("language")
    if not isinstance(found, str):
        return None
    name = found.strip().lower()
    return name if LANGUAGE.fullmatch(name) else _CODES.get(name)


def utterances(answer: dict[str, Any], start: float, end: float) -> list[dict[str, Any]]:
    """Return what a server's verbose JSON says, its times counted from a recording's start.

    Raises `InvalidInput` for an answer of another form.
    """
    try:
        words = _timed(answer, "words", end - start, lambda one: _word(one, start, end))
        segments = _timed(answer, "segments", end - start, lambda one: _segment(one, start, end))
        words = _spoken(words, segments, answer, start, end)
        text = _short(_clean(answer.get("text") or ""), end - start)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        told = str(error) if type(error) is ValueError else repr(error)
        raise InvalidInput(f"the transcription server's answer cannot be read: {told[:300]}") from None
    if words and segments:
        return _together(words, segments)
    if words:
        return [{"words": words}]
    if segments or answer.get("segments"):
        return segments
    return [{"start": start, "end": end, "text": text}] if text else []


def _timed(
    answer: dict[str, Any], name: str, seconds: float, read: Callable[[Any], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the words or segments of an answer in their order, without those that say nothing."""
    given = answer.get(name) or []
    if not isinstance(given, list):
        raise TypeError(f"found {type(given).__name__} as {name}, expected a list")
    most = _most(_MOST_PIECES, seconds)
    if len(given) > most:
        raise ValueError(f"found {len(given):,} {name}, expected at most {most:,} of so little sound")
    found = [read(one) for one in given if not _is_silence(one)]
    key = "word" if name == "words" else "text"
    _short("".join(one[key] for one in found), seconds)
    return sorted((one for one in found if one[key]), key=lambda one: one["start"])


def _spoken(
    words: list[dict[str, Any]],
    segments: list[dict[str, Any]],
    answer: dict[str, Any],
    start: float,
    end: float,
) -> list[dict[str, Any]]:
    """Return the words without those of segments that were made up where nobody speaks."""
    silent = [_times(one, start, end) for one in answer.get("segments") or () if _is_silence(one)]
    spoken = [(one["start"], one["end"]) for one in segments]
    return [
        word
        for word in words
        if any(first <= word["start"] < last for first, last in spoken)
        or not any(one["start"] <= word["start"] < one["end"] for one in silent)
    ]


def _most(bounds: tuple[int, int], seconds: float) -> int:
    return bounds[0] + round(seconds * bounds[1])


def _short(text: str, seconds: float) -> str:
    most = _most(_MOST_CHARACTERS, seconds)
    if len(text) > most:
        raise ValueError(f"found {len(text):,} characters, expected at most {most:,} of so little sound")
    return text


def _together(words: list[dict[str, Any]], segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return utterances of words that are written as in the segments, with their punctuation.

    Servers give words bare. Where a segment has another number of words than fall into it, they stay bare.
    """
    found, rest = [], words
    for n, segment in enumerate(segments):
        last = n == len(segments) - 1
        count = len(rest) if last else sum(1 for one in rest if one["start"] < segments[n + 1]["start"])
        mine, rest = rest[:count], rest[count:]
        written = segment["text"].split()
        if len(written) == len(mine):
            mine = [{**one, "word": text} for one, text in zip(mine, written, strict=True)]
        if mine:
            found.append({"words": mine})
    return found


def _is_silence(segment: dict[str, Any]) -> bool:
    """Say whether a segment was made up where nobody speaks: by the rule of Whisper's own program."""
    nobody, sure = segment.get("no_speech_prob"), segment.get("avg_logprob")
    if nobody is None or sure is None:
        return False
    return float(nobody) > 0.6 and float(sure) < -1.0


def _segment(one: dict[str, Any], start: float, end: float) -> dict[str, Any]:
    return {**_times(one, start, end), "text": _clean(one["text"])}


def _word(one: dict[str, Any], start: float, end: float) -> dict[str, Any]:
    sure = one.get("probability")
    confidence = None if sure is None else min(1.0, max(0.0, _finite(sure)))
    return {"word": _clean(one["word"]), **_times(one, start, end), "confidence": confidence}


def _times(one: dict[str, Any], start: float, end: float) -> dict[str, float]:
    first = min(end, max(start, start + _finite(one["start"])))
    last = min(end, max(first, start + _finite(one["end"])))
    return {"start": round(first, 3), "end": round(last, 3)}


def _finite(value: Any) -> float:
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"found {found}, expected a number")
    return found


def _clean(text: Any) -> str:
    """Return a server's text as it may be kept and shown."""
    if not isinstance(text, str):
        raise TypeError(f"found {type(text).__name__}, expected text")
    known = text.encode("utf-8", "replace").decode()
    return " ".join("".join(one if one.isprintable() else " " for one in known).split())
