"""Text as people and databases want it: no control characters, no broken words, no runs of blanks."""

from __future__ import annotations

import re
from typing import Final

_LIGATURES: Final = str.maketrans(
    {
        "\ufb00": "ff",
        "\ufb01": "fi",
        "\ufb02": "fl",
        "\ufb03": "ffi",
        "\ufb04": "ffl",
        "\ufb05": "st",
        "\ufb06": "st",
        "\u00a0": " ",
        "\u00ad": None,
    }
)
#: All control characters but tab, line feed and form feed; halves of surrogate pairs; what is no character.
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\ufeff]")
#: A word that is divided at the end of a line: PDFium writes U+FFFE or U+0002 for such a hyphen.
_DIVIDED: Final = re.compile("(?<=[^\\W\\d_])(?:[\ufffe\x02]\n?|-\n)(?=[^\\W\\d_A-Z])")
_BLANKS_AT_END: Final = re.compile(r"[ \t]+\n")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def storable(text: str) -> str:
    """Return a text without what databases and terminals do not take; nothing else is changed."""
    return _UNFIT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def cleaned(text: str) -> str:
    """Return extracted text with ligatures written out, divided words joined, and blanks at ends removed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _DIVIDED.sub("", text)
    text = _UNFIT.sub("", text).translate(_LIGATURES)
    text = _BLANKS_AT_END.sub("\n", text)
    return _EMPTY_LINES.sub("\n\n", text).strip(" \n")
