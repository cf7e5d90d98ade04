"""Text of a picture, by Tesseract, which kreuzberg has in it; the data of languages is the system's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hopyard_file.parsing.cleaning import cleaned
from hopyard_file.parsing.faults import Missing

#: Where Debian, Fedora, Alpine and Homebrew have it.
_PLACES: Final = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tesseract/tessdata",
    "/usr/share/tessdata",
    "/opt/homebrew/share/tessdata",
    "/usr/local/share/tessdata",
)


def language_data(languages: str) -> str:
    """Return the directory that has the data of languages such as `eng` or `eng+deu`. Raises `Missing`."""
    given = os.environ.get("TESSDATA_PREFIX")
    wanted = languages.split("+")
    places = [given, f"{given}/tessdata"] if given else [*_PLACES]
    for place in places:
        if all(Path(place, f"{one}.traineddata").is_file() for one in wanted):
            return place
    packages = " ".join(f"tesseract-ocr-{one.replace('_', '-')}" for one in wanted)
    raise Missing(
        f"the language data for OCR ({languages}) is not installed: on Debian `apt install {packages}`, "
        "or set TESSDATA_PREFIX to the directory that has it"
    )


def text_of(picture: bytes, media_type: str, languages: str) -> tuple[str, float | None]:
    """Return the text of a picture, and how sure of it Tesseract is, from 0 to 1.

    Raises `Missing`, and `ValueError` where it fails.
    """
    try:
        import kreuzberg
    except ImportError:
        raise Missing("OCR needs kreuzberg: `pip install 'hopyard-file[office]'`") from None
    os.environ["TESSDATA_PREFIX"] = language_data(languages)
    tesseract = kreuzberg.TesseractConfig(
        language=languages, psm=3, output_format="text", enable_table_detection=False
    )
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        ocr=kreuzberg.OcrConfig(backend="tesseract", language=languages, tesseract_config=tesseract),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
        output_format="plain",
    )
    try:
        found = kreuzberg.extract_bytes_sync(picture, media_type, config)
    except kreuzberg.KreuzbergError as error:
        raise ValueError(str(error)[:400]) from None
    return cleaned(found.content), _confidence(found)


def _confidence(found: object) -> float | None:
    words = getattr(found, "ocr_elements", None) or []
    values = []
    for word in words:
        level = word.get("confidence") if isinstance(word, dict) else getattr(word, "confidence", None)
        value = level.get("recognition") if isinstance(level, dict) else getattr(level, "recognition", level)
        if isinstance(value, int | float):
            values.append(float(value))
    return round(sum(values) / len(values), 3) if values else None
