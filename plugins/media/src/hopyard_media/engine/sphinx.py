"""Speech recognition on this machine by PocketSphinx and the English model that comes with it: a draft."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from hopyard_media.engine.audio import RATE
from hopyard_media.engine.faults import Missing

#: Frames a second of the recognizer.
_FRAMES: Final = 100
#: What it writes that is no word.
_SILENT: Final = ("<s>", "</s>", "<sil>", "[SPEECH]", "[NOISE]", "[COUGH]", "[SMACK]", "[UH]")


def words_of(pieces: Iterable[bytes], offset: float) -> list[dict[str, Any]]:
    """Return the utterances of a sound, each with its words: start and end in seconds, confidence to 1.

    Utterances are what the voice detection cuts out between silences. `offset` is where the sound begins.
    """
    try:
        from pocketsphinx import Decoder, Endpointer  # type: ignore[import-untyped]
    except ImportError:
        raise Missing("transcription on this machine needs pocketsphinx: pip install hopyard-media") from None
    detector = Endpointer(sample_rate=RATE)
    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    found: list[dict[str, Any]] = []
    begun = 0.0
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) > detector.frame_bytes:  # the end of the stream must not be empty
            frame, rest = rest[: detector.frame_bytes], rest[detector.frame_bytes :]
            speaking = detector.in_speech
            speech = detector.process(frame)
            begun = _heard(decoder, detector, speaking, speech, begun, offset, found)
    speaking = detector.in_speech
    speech = detector.end_stream(rest) if rest else None
    if speech is not None:
        _heard(decoder, detector, speaking, speech, begun, offset, found)
    elif speaking:
        decoder.end_utt()
        _note(decoder, begun, offset, found)
    return found


def _heard(
    decoder: Any,
    detector: Any,
    speaking: bool,
    speech: bytes | None,
    begun: float,
    offset: float,
    found: list[dict[str, Any]],
) -> float:
    """Give what is speech to the decoder; return when the utterance began."""
    if speech is None:
        return begun
    if not speaking:
        begun = detector.speech_start
        decoder.start_utt()
    decoder.process_raw(speech)
    if not detector.in_speech:
        decoder.end_utt()
        _note(decoder, begun, offset, found)
    return begun


def _note(decoder: Any, begun: float, offset: float, found: list[dict[str, Any]]) -> None:
    words = [
        {
            "word": segment.word.partition("(")[0],
            "start": round(offset + begun + segment.start_frame / _FRAMES, 2),
            "end": round(offset + begun + (segment.end_frame + 1) / _FRAMES, 2),
            "confidence": round(min(1.0, _probability(segment.prob)), 4),
        }
        for segment in decoder.seg() or ()
        if segment.word not in _SILENT
    ]
    if words:
        found.append({"words": words})


def _probability(value: float) -> float:
    return value if math.isfinite(value) and value > 0 else 0.0
