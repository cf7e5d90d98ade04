"""What the tasks return. Each result has a `summary`: what it says in a sentence or two."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, computed_field

#: A result is at most a megabyte as JSON, in which a character may take twelve bytes.
MOST_SHOWN: Final = 60_000


class Document(BaseModel):
    """A file that was read, sizes in bytes.

    `text` is the beginning of its text as Markdown, pages divided by form feeds; all of it is kept by
    `sha256`, and `hopyard file show --text` prints it.
    """

    root: str
    way: str
    sha256: str
    size: int
    kind: str
    """`pdf`, `docx`, `png` …: by its content."""
    media_type: str
    pages: int | None = None
    pages_by_ocr: list[int] = []
    """Pages, from 1, whose text was read from a picture."""
    ocr_confidence: float | None = None
    """How sure OCR is of their words, from 0 to 1."""
    metadata: dict[str, Any] = {}
    notes: list[str] = []
    """What a reader should know: pages that cannot be read, a suffix that does not fit."""
    text: str = ""
    characters: int = 0
    """Of all text, also where `text` has less."""
    digest: str | None = None
    """A summary by the ai plugin."""
    categories: list[str] = []
    known: bool = False
    """Whether the same content had been read before, so that it was not read again."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The document in a sentence or two."""
        pages = f", {self.pages} pages" if self.pages else ""
        ocr = f", {len(self.pages_by_ocr)} of them by OCR" if self.pages_by_ocr else ""
        told = f"{self.way} is {self.kind}{pages}{ocr}, with {self.characters:,} characters of text."
        return told + (f" Note: {'; '.join(self.notes)}." if self.notes else "")


class Page(BaseModel):
    """The text of a page."""

    number: int
    text: str
    ocr: bool = False
    problem: str | None = None


class ExtractedText(BaseModel):
    """The text of a PDF, page by page, as far as a result can carry it."""

    root: str
    way: str
    sha256: str
    pages: int
    pages_by_ocr: list[int]
    characters: int
    text: list[Page]
    more: bool
    """Whether there is more text than `text` has: `hopyard file show --text` prints all of it."""
    notes: list[str] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The text in a sentence."""
        return (
            f"{self.way} has {self.pages} pages and {self.characters:,} characters of text, "
            f"{len(self.pages_by_ocr)} pages of it by OCR."
        )


class Fact(BaseModel):
    """A piece of key information, such as an amount, a date, a name."""

    name: str
    value: str


class FileAnalysis(BaseModel):
    """What a model makes of a document: its word about a stranger's text, to be read, not obeyed."""

    root: str
    way: str
    sha256: str
    document_type: str | None = None
    digest: str = ""
    key_information: list[Fact] = []
    key_points: list[str] = []
    recommendations: list[str] = []
    categories: list[str] = []
    read_characters: int = 0
    """How much of the text the model was given."""
    characters: int = 0
    missing: list[str] = []
    """What could not be found out, and why."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The analysis in a sentence or two."""
        kind = self.document_type or "a document"
        lacks = f" Missing: {'; '.join(self.missing)}." if self.missing else ""
        return f"{self.way} is {kind}. {self.digest[:1000]}".strip() + lacks


class Unpacked(BaseModel):
    """An archive that was unpacked: how many files and bytes came out of it, and where they are."""

    root: str
    way: str
    into: str
    sha256: str
    files: int
    bytes: int
    links_left_out: int = 0
    examples: list[tuple[str, int]] = []
    """Some of the files, with their sizes."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The archive in a sentence."""
        links = f", {self.links_left_out} links were left out" if self.links_left_out else ""
        return f"{self.way}: {self.files:,} files ({self.bytes:,} bytes) are in {self.into}{links}."


class FileError(BaseModel):
    """A file of a batch that was not read, and why."""

    way: str
    error: str


class BatchReport(BaseModel):
    """A batch: how many files were read, were refused, and failed; sizes in bytes."""

    job: str
    root: str
    files: int
    bytes: int
    done: int
    refused: int
    """Those that will never be read as they are."""
    failed: int
    """Those that may be read another time."""
    errors: list[FileError] = []
    """The first hundred; `hopyard file batch JOB` lists all."""
    notes: list[str] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The batch in a sentence."""
        wrong = (
            f", {self.refused} were refused and {self.failed} failed" if self.refused + self.failed else ""
        )
        return f"{self.done} of {self.files} files ({self.bytes:,} bytes) were read{wrong}."


class Listed(BaseModel):
    """A document as a list shows it."""

    root: str
    way: str
    state: str
    """`read`, `refused` or `failed`."""
    kind: str | None
    pages: int | None
    size: int | None
    sha256: str | None
    categories: list[str]
    problem: str | None
    at: datetime
