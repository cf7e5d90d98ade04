"""What is wrong with a file, and how much a file may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hopyard.sandbox.confinement import Missing, Refused

from hopyard_file.parsing.cleaning import storable

__all__ = ["Content", "Limits", "Missing", "Refused", "counted"]

#: Of a list of remarks, and of one of them in characters.
_MOST_NOTES: Final = 50
_LONGEST_NOTE: Final = 500


@dataclass(frozen=True)
class Limits:
    """How much one file may take. Sizes are in bytes."""

    max_bytes: int = 200_000_000
    max_text: int = 5_000_000
    """Characters of text that are kept."""
    max_pages: int = 5_000
    max_pixels: int = 50_000_000
    max_entries: int = 10_000
    max_total: int = 2_000_000_000
    """Of all files of an archive together, unpacked."""
    max_ratio: float = 100.0
    """Unpacked bytes per packed byte."""
    max_depth: int = 2
    """Archives within archives."""
    max_cells: int = 2_000_000
    """Cells of a sheet, those that are empty and lie between others included."""
    max_parts: int = 1_000
    """Parts of a mail."""


@dataclass
class Content:
    """What was read of a file. Pages of the text are divided by form feeds."""

    kind: str
    media_type: str
    text: str = ""
    pages: int | None = None
    scanned: list[int] = field(default_factory=list)
    """Pages without text, which show pictures: from 1."""
    metadata: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    truncated: bool = False

    def note(self, text: str) -> None:
        """Remark something that a reader should know."""
        said = storable(text)[:_LONGEST_NOTE]
        if len(self.notes) < _MOST_NOTES and said not in self.notes:
            self.notes.append(said)


def counted(number: float) -> str:
    """Return a number for people: 12,345 or 12.3."""
    return f"{number:,.0f}" if float(number).is_integer() or number >= 1000 else f"{number:.1f}"
