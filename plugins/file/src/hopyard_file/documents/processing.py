"""The tasks about one file: read it, say what it is, have it summed up and analysed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from hopyard import trees
from hopyard.errors import InvalidInput

from hopyard_file import roots
from hopyard_file.documents import assistant, store
from hopyard_file.documents.assistant import Unanswered
from hopyard_file.documents.children import Refusal
from hopyard_file.documents.models import MOST_SHOWN, Document, ExtractedText, Fact, FileAnalysis, Page
from hopyard_file.documents.reading import Reader

if TYPE_CHECKING:
    from hopyard import Job

    from hopyard_file.documents.settings import DocumentSettings
    from hopyard_file.documents.store import Content

#: What a document may be, for `file.analyze_file_with_ai`.
DOCUMENT_TYPES: Final = (
    *("invoice", "receipt", "contract", "letter", "report", "minutes", "form", "certificate", "statement"),
    *("manual", "presentation", "spreadsheet", "article", "resume", "e-mail", "notes"),
)


def own() -> DocumentSettings:
    """Return the settings of this part."""
    return roots.settings().documents


async def process(
    job: Job, root: str, way: str, *, digest: bool | None, categories: list[str] | None
) -> Document:
    """Read a document, and have it summed up where that is wanted. Raises as `Reader.read`."""
    settings = own()
    content, known = await Reader(job, settings).read(root, way, _Sayer(job))
    found = document(root, way, content, known=known)
    wanted = settings.summaries if digest is None else digest
    labels = list(settings.categories) if categories is None else categories
    if (wanted or labels) and content.text.strip():
        await _sum_up(job, found, content, labels, wanted=wanted, asked=bool(digest or categories))
    return found


async def process_upload(
    job: Job, root: str, way: str, *, name: str | None, digest: bool | None, categories: list[str] | None
) -> Document:
    """As `process`, for a file of a stranger: what its name claims must be what it is. Raises `Refusal`."""
    settings = own()
    roots.way_below(way)
    claimed = name if name is not None else way
    answer = await Reader(job, settings, ocr=False).kind(root, way) if name is None else None
    disagreement = answer["disagreement"] if answer else await _disagreement(job, root, way, claimed)
    if disagreement and settings.wrong_suffix == "refuse":
        reader = Reader(job, settings)
        await store.place(
            root, way, "refused", problem=disagreement, reading=reader.reading, job=job.id, person=job.person
        )
        raise Refusal(f"{trees.shown(way)}: {disagreement}")
    found = await process(job, root, way, digest=digest, categories=categories)
    if disagreement and disagreement not in found.notes:
        found.notes.insert(0, disagreement)
    return found


async def _disagreement(job: Job, root: str, way: str, claimed: str) -> str:
    """Say how the name that an uploader gave disagrees with what the file is."""
    from hopyard_file.parsing import kinds

    answer = await Reader(job, own(), ocr=False).kind(root, way)
    suffix = "." + claimed.rpartition(".")[2].lower() if "." in claimed else ""
    return kinds.disagreement(kinds.KINDS[answer["kind"]], suffix[:20]) or ""


async def extract(job: Job, root: str, way: str, first: int, last: int | None, ocr: bool) -> ExtractedText:
    """Return the text of a PDF's pages. Raises `InvalidInput` for other kinds and pages that are none."""
    if last is not None and last < first:
        raise InvalidInput(f"pages: found {first} to {last}, expected the first one first")
    content, _ = await Reader(job, own(), ocr=ocr).read(root, way, _Sayer(job))
    if content.kind != "pdf":
        raise Refusal(
            f"{trees.shown(way)} is {content.kind}, expected a PDF: file.process_document reads others"
        )
    total = content.pages or 0
    if first > max(total, 1):
        raise InvalidInput(f"first: found {first}, but {trees.shown(way)} has {total} pages")
    shown, more = _pages(content, first, min(last or total, total))
    return ExtractedText(
        root=root,
        way=way,
        sha256=content.sha256,
        pages=total,
        pages_by_ocr=content.pages_by_ocr,
        characters=len(content.text),
        text=shown,
        more=more,
        notes=content.notes,
    )


def _pages(content: Content, first: int, last: int) -> tuple[list[Page], bool]:
    """Return pages as far as a result can carry them, and whether there is more."""
    texts, left = content.text.split("\f"), MOST_SHOWN
    shown: list[Page] = []
    for number in range(first, last + 1):
        text = texts[number - 1] if number <= len(texts) else ""
        if len(text) > left or len(shown) >= 2_000:
            shown += (
                [Page(number=number, text=text[:left], ocr=number in content.pages_by_ocr)] if left else []
            )
            return shown, True
        left -= len(text)
        problem = content.page_problems.get(number)
        shown.append(Page(number=number, text=text, ocr=number in content.pages_by_ocr, problem=problem))
    return shown, False


async def analyze(job: Job, root: str, way: str) -> FileAnalysis:
    """Return what a model makes of a document. Raises as `Reader.read`, and `InvalidInput` without text.

    What one of the ai plugin's tasks cannot answer is in `missing`; where none of them can, that is an error.
    """
    settings = own()
    content, _ = await Reader(job, settings).read(root, way, _Sayer(job))
    text = shown_text(content, settings)
    if not text:
        raise Refusal(
            f"{trees.shown(way)} has no text that could be analysed. {' '.join(content.notes)}".strip()
        )
    found = FileAnalysis(
        root=root,
        way=way,
        sha256=content.sha256,
        read_characters=len(text),
        characters=len(content.text),
        key_information=_facts(content),
    )
    if not assistant.is_installed():
        raise InvalidInput("no enabled plugin has the task ai.analyze_content: install hopyard-ai")
    await _fill(job, found, text, settings)
    if len(found.missing) == _QUESTIONS:
        raise InvalidInput(f"the ai plugin answered nothing: {'; '.join(found.missing)}")
    await store.say(root, way, analysis=found.model_dump_json())
    return found


_QUESTIONS: Final = 3


async def _fill(job: Job, found: FileAnalysis, text: str, settings: DocumentSettings) -> None:
    seconds, about = settings.ai_seconds, found.sha256
    job.progress(0, _QUESTIONS, "asking what it says")
    try:
        told = await assistant.digest(job, text, settings.categories, seconds, about)
    except Unanswered as error:
        found.missing.append(f"summary and key information: {error}")
    else:
        found.digest, found.key_points, found.categories = (
            told["summary"],
            told["key_points"],
            told["categories"],
        )
        found.key_information += [Fact(name=kind, value=name) for kind, name in told["entities"]]
    job.progress(1, _QUESTIONS, "asking what it is")
    try:
        found.document_type = await assistant.label(job, text[:20_000], DOCUMENT_TYPES, seconds, about)
    except Unanswered as error:
        found.missing.append(f"document type: {error}")
    job.progress(2, _QUESTIONS, "asking what follows from it")
    try:
        found.recommendations = await assistant.consequences(job, text, seconds, about)
    except Unanswered as error:
        found.missing.append(f"recommendations: {error}")
    job.progress(3, _QUESTIONS, "analysed")


def _facts(content: Content) -> list[Fact]:
    names = ("title", "author", "authors", "subject", "from", "to", "date", "created", "created_at")
    given = {name: content.metadata.get(name) for name in names}
    return [
        Fact(name=name, value=", ".join(value) if isinstance(value, list) else str(value)[:300])
        for name, value in given.items()
        if value
    ]


async def _sum_up(
    job: Job, found: Document, content: Content, labels: list[str], *, wanted: bool, asked: bool
) -> None:
    """Add summary and categories; where the ai plugin is missing that is noted if somebody asked for them."""
    settings = own()
    text = shown_text(content, settings)
    try:
        if wanted:
            told = await assistant.digest(job, text, labels, settings.ai_seconds, f"sum {found.sha256}")
            found.digest = told["summary"] or None
            found.categories = told["categories"] if labels else []
        elif labels:
            one = await assistant.label(
                job, text[:20_000], labels, settings.ai_seconds, f"sort {found.sha256}"
            )
            found.categories = [one] if one else []
    except Unanswered as error:
        if asked or assistant.is_installed():
            found.notes.append(f"no summary and no categories: {error}")
        return
    await store.say(found.root, found.way, summary=found.digest, categories=json.dumps(found.categories))


def shown_text(content: Content, settings: DocumentSettings) -> str:
    """Return as much of a text as the ai plugin is given."""
    return content.text.replace("\f", "\n\n").strip()[: settings.ai_characters]


def document(root: str, way: str, content: Content, *, known: bool) -> Document:
    """Return a content as a result."""
    return Document(
        root=root,
        way=way,
        sha256=content.sha256,
        size=content.size,
        kind=content.kind,
        media_type=content.media_type,
        pages=content.pages,
        pages_by_ocr=content.pages_by_ocr[:5_000],
        ocr_confidence=content.confidence,
        metadata=content.metadata,
        notes=content.notes,
        text=content.text[:MOST_SHOWN],
        characters=len(content.text),
        known=known,
    )


class _Sayer:
    """Tells a job's progress, at most a few times a second."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told = 0.0

    def __call__(self, words: str) -> None:
        now = time.monotonic()
        if now - self._told > 0.3:
            self._told = now
            self._job.progress(0, None, words)
