"""Speech recognition on this machine by PocketSphinx and the English model that comes with it: a draft."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
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
    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    found: list[dict[str, Any]] = []
    for begun, speech in _utterances(Endpointer(sample_rate=RATE), pieces):
        decoder.start_utt()
        # At once: it levels a sound by the mean of all that it is given, and by a guess what comes in bits,
        # of which it hears several times as many words wrongly where they are few.
        decoder.process_raw(speech, full_utt=True)
        decoder.end_utt()
        _note(decoder, begun, offset, found)
    return found


def _utterances(detector: Any, pieces: Iterable[bytes]) -> Iterator[tuple[float, bytes]]:
    """Yield each piece of speech between silences, with the moment at which it begins."""
    begun, speech, rest = 0.0, b"", b""
    for piece in pieces:
        rest += piece
        while len(rest) > detector.frame_bytes:  # the end of the stream must not be empty
            frame, rest = rest[: detector.frame_bytes], rest[detector.frame_bytes :]
            more = detector.process(frame)
            if more is None:
                continue
            begun = begun if speech else detector.speech_start
            speech += more
            if not detector.in_speech:
                yield begun, speech
                speech = b""
    last = detector.end_stream(rest) if rest else None
    if speech or last:
        yield (begun if speech else detector.speech_start), speech + (last or b"")


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
