"""The settings for documents and archives: how much one may take, how it is read, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Literal

from hopyard import PluginSettings
from pydantic import Field, SecretStr

_MEGABYTE = 2**20


class UnpackSettings(PluginSettings):
    """Caps on archives."""

    max_entries: int = Field(
        10_000, ge=1, le=10_000_000, description="Entries, those of archives in it included."
    )
    max_total_bytes: int = Field(2_000_000_000, ge=1, description="Of all files together, unpacked.")
    max_ratio: float = Field(
        100.0, gt=1, le=100_000, description="Unpacked bytes per packed byte, from 10 MB unpacked on."
    )
    max_depth: int = Field(2, ge=1, le=10, description="Archives within archives; 1 is none.")
    seconds: float = Field(600.0, ge=1, le=86_400, description="Longest time for one archive.")


class DocumentSettings(PluginSettings):
    """How documents are read, and how much each may take."""

    max_bytes: int = Field(
        100_000_000, ge=1, le=2_000_000_000, description="Larger files are not read; archives are neither."
    )
    max_text: int = Field(
        2_000_000, ge=1_000, le=50_000_000, description="Characters of text that are kept of a file."
    )
    max_pages: int = Field(5_000, ge=1, le=1_000_000, description="PDFs with more pages are not read.")
    max_pixels: int = Field(
        50_000_000, ge=1_000, le=1_000_000_000, description="Pictures with more are not read."
    )
    max_cells: int = Field(
        2_000_000, ge=1_000, le=100_000_000, description="Sheets that span more cells are not read."
    )
    max_parts: int = Field(1_000, ge=1, le=100_000, description="Mails with more parts are not read.")
    memory: int = Field(
        1_024 * _MEGABYTE, ge=256 * _MEGABYTE, description="Bytes of memory that reading one file may take."
    )
    cpu_seconds: int = Field(
        60, ge=1, le=86_400, description="CPU time that reading a file or a page may take."
    )
    seconds: float = Field(120.0, ge=1, le=86_400, description="Time that reading a file or a page may take.")
    at_once: int = Field(
        2, ge=1, le=64, description="Files, or scanned pages of one file, that are read at once."
    )
    ocr: bool = Field(True, description="Whether pages and pictures without text are read by OCR.")
    ocr_languages: str = Field(
        "eng",
        pattern=r"^[a-zA-Z][a-zA-Z0-9_]{1,30}(\+[a-zA-Z][a-zA-Z0-9_]{1,30}){0,7}$",
        description="Languages as Tesseract calls them, such as `eng+deu`.",
    )
    ocr_pages: int = Field(
        200, ge=0, le=100_000, description="Pages of one file that are read by OCR, at most."
    )
    passwords: tuple[SecretStr, ...] = Field((), max_length=20, description="Tried on encrypted PDFs.")
    wrong_suffix: Literal["refuse", "tell"] = Field(
        "refuse",
        description="What happens to an uploaded file whose name says another type than its content.",
    )
    summaries: bool = Field(
        True, description="Whether the ai plugin, where it is installed, sums up documents."
    )
    categories: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (), max_length=200, description="Labels, one of which the ai plugin chooses for each document."
    )
    ai_characters: int = Field(
        100_000, ge=1_000, le=200_000, description="The most of a text that the ai plugin is given."
    )
    ai_seconds: float = Field(
        600.0, ge=1, le=86_400, description="Longest wait for one answer of the ai plugin."
    )
    max_files: int = Field(100_000, ge=1, le=10_000_000, description="Files of one batch.")
    keep_days: float = Field(
        365.0,
        gt=0,
        le=36_600,
        description="What is kept of documents goes when nobody has looked at them for so long.",
    )
    unpack: UnpackSettings = Field(default_factory=UnpackSettings, description="Caps on archives.")
