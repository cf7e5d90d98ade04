"""Who speaks when, by the sounds of voices, through sherpa-onnx."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from typing import Any

from hopyard_media.engine.faults import Missing, Refused


def turns_of(
    pieces: Iterable[bytes], segmentation: str, embedding: str, speakers: int, threshold: float
) -> list[dict[str, Any]]:
    """Return the turns of a whole sound in order: start and end in seconds, and the speaker's number.

    Speakers are numbered from 0, as they come.

    `speakers`: how many there are, or 0 for as many as differ by `threshold`. Raises `Missing`, `Refused`.
    """
    try:
        import sherpa_onnx as sherpa  # type: ignore[import-untyped]
    except ImportError:
        raise Missing("speakers voices needs the extra: pip install 'hopyard-media[diarize]'") from None
    for file in (segmentation, embedding):
        if not os.access(file, os.R_OK):
            raise Refused(f"the model {file} cannot be read: see `voices` in the settings")
    finder = sherpa.OfflineSpeakerSegmentationModelConfig(
        pyannote=sherpa.OfflineSpeakerSegmentationPyannoteModelConfig(model=segmentation)
    )
    own = sherpa.OfflineSpeakerDiarizationConfig(
        segmentation=finder,
        embedding=sherpa.SpeakerEmbeddingExtractorConfig(model=embedding),
        clustering=sherpa.FastClusteringConfig(num_clusters=speakers or -1, threshold=threshold),
    )
    sound = _floats(pieces)  # errors of decoding are not the models'
    try:
        found = sherpa.OfflineSpeakerDiarization(own).process(sound).sort_by_start_time()
    except RuntimeError as error:
        raise Refused(f"the models of `voices` cannot be used: {error}") from None
    numbers = {number: n for n, number in enumerate(dict.fromkeys(one.speaker for one in found))}
    return [
        {"start": round(one.start, 3), "end": round(one.end, 3), "speaker": numbers[one.speaker]}
        for one in found
    ]


def _floats(pieces: Iterable[bytes]) -> array[float]:
    """Return samples from -1 to 1, four bytes each."""
    sound = array("f")
    for piece in pieces:
        sound.extend(value / 32768.0 for value in array("h", piece))
    return sound
