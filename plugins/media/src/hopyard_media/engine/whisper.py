"""Speech recognition by a Whisper model on this machine, through faster-whisper."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

from hopyard_media.engine.faults import Missing, Refused


def heard(
    pieces: Iterable[bytes], offset: float, model: str, device: str, compute: str, language: str | None
) -> dict[str, Any]:
    """Return the utterances of a sound with their words, and the language. Raises `Missing`, `Refused`."""
    try:
        import numpy  # type: ignore[import-not-found]
        import onnxruntime  # type: ignore[import-not-found]
        from faster_whisper import WhisperModel  # type: ignore[import-not-found]
    except ImportError:
        raise Missing("the engine whisper needs the extra: pip install 'hopyard-media[whisper]'") from None
    onnxruntime.disable_telemetry_events()  # it finds where somebody speaks, and would tell its maker
    samples = array("h", b"".join(pieces))
    sound = numpy.asarray(samples, dtype=numpy.float32) / 32768.0
    try:
        known = WhisperModel(model, device=device, compute_type=compute, cpu_threads=1, local_files_only=True)
        segments, facts = known.transcribe(sound, language=language, word_timestamps=True, vad_filter=True)
        found = [_utterance(one, offset) for one in segments]
    except (RuntimeError, ValueError) as error:
        raise Refused(f"the Whisper model cannot be used: {error}") from None
    return {"utterances": [one for one in found if one["words"]], "language": facts.language}


def _utterance(segment: Any, offset: float) -> dict[str, Any]:
    return {
        "words": [
            {
                "word": word.word.strip(),
                "start": round(offset + float(word.start), 3),
                "end": round(offset + float(word.end), 3),
                "confidence": round(float(word.probability), 4) if math.isfinite(word.probability) else None,
            }
            for word in segment.words or ()
            if word.word.strip()
        ]
    }
