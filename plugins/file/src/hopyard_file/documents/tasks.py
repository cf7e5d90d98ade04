"""The tasks. What they do is in modules of its own, which are imported when it is done."""

from __future__ import annotations

from typing import Annotated

from hopyard import Job, RetryPolicy, Tool, task
from pydantic import Field

from hopyard_file.documents.models import (
    BatchReport,
    Document,
    ExtractedText,
    FileAnalysis,
    Listed,
    Unpacked,
)

_RETRY = RetryPolicy(max_retries=3, backoff=30)
_HOUR = 3600.0
_READS = Tool(read_only=True)

RootName = Annotated[str, Field(description="The name of a declared root.")]
Way = Annotated[str, Field(min_length=1, max_length=4_000, description="The file below the root.")]
Digest = Annotated[
    bool | None,
    Field(description="Whether it is summed up by the ai plugin; as the settings say unless given."),
]
Categories = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]] | None,
    Field(max_length=200, description="Labels to choose from; those of the settings unless given."),
]


@task(
    "file.process_uploaded_file",
    path="files/process-uploaded-file",
    retry=_RETRY,
    time_limit=_HOUR,
    tool=_READS,
)
async def process_uploaded_file(
    job: Job,
    root: RootName,
    way: Way,
    name: Annotated[
        str | None,
        Field(max_length=1_000, description="What its uploader called it, if that is another name."),
    ] = None,
    digest: Digest = None,
    categories: Categories = None,
) -> Document:
    """Check an uploaded file: what it really is, what is wrong with it; text, metadata, summary."""
    from hopyard_file.documents.processing import process_upload

    return await process_upload(job, root, way, name=name, digest=digest, categories=categories)


@task("file.process_document", path="files/process-document", retry=_RETRY, time_limit=_HOUR, tool=_READS)
async def process_document(
    job: Job, root: RootName, way: Way, digest: Digest = None, categories: Categories = None
) -> Document:
    """Read a document (PDF, Word, Excel, PowerPoint, HTML, mail, picture, text): text, metadata, summary."""
    from hopyard_file.documents.processing import process

    return await process(job, root, way, digest=digest, categories=categories)


@task(
    "file.extract_text_from_pdf", path="files/extract-pdf-text", retry=_RETRY, time_limit=_HOUR, tool=_READS
)
async def extract_text_from_pdf(
    job: Job,
    root: RootName,
    way: Way,
    first: Annotated[int, Field(ge=1, description="The first page.")] = 1,
    last: Annotated[int | None, Field(ge=1, description="The last page; all of them unless given.")] = None,
    ocr: Annotated[bool, Field(description="Whether scanned pages are read by OCR.")] = True,
) -> ExtractedText:
    """Extract the text of a PDF page by page; scanned pages, and only they, are read by OCR."""
    from hopyard_file.documents.processing import extract

    return await extract(job, root, way, first, last, ocr)


@task(
    "file.analyze_file_with_ai",
    path="files/analyze-file-with-ai",
    retry=_RETRY,
    time_limit=_HOUR,
    tool=_READS,
)
async def analyze_file_with_ai(job: Job, root: RootName, way: Way) -> FileAnalysis:
    """Analyze a document with AI: its type, key information, key points, recommendations."""
    from hopyard_file.documents.processing import analyze

    return await analyze(job, root, way)


@task(
    "file.batch_process_files",
    path="files/batch-process-files",
    queue="file.batch",
    retry=RetryPolicy(max_retries=5, backoff=60, max_backoff=600),
    time_limit=24 * _HOUR,
    tool=Tool(approval=True),
)
async def batch_process_files(
    job: Job,
    root: RootName,
    under: Annotated[
        str, Field(max_length=4_000, description="A directory below the root; all of it unless given.")
    ] = "",
    patterns: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=255)]],
        Field(min_length=1, max_length=100, description="Which names, such as `*.pdf`."),
    ] = ["*"],  # noqa: B006 - never changed
    ways: Annotated[
        list[Way] | None, Field(max_length=100_000, description="These files, in the place of a directory.")
    ] = None,
    ocr: Annotated[bool, Field(description="Whether scanned pages are read by OCR.")] = True,
) -> BatchReport:
    """Read many files of a directory, some at a time: texts and metadata are kept, and each error."""
    from hopyard_file.documents.batch import process

    return await process(job, root, under, patterns, ways, ocr=ocr)


@task(
    "file.unpack_archive",
    path="files/unpack-archive",
    retry=_RETRY,
    time_limit=_HOUR,
    tool=Tool(approval=True),
)
async def unpack_archive(
    job: Job,
    root: RootName,
    way: Way,
    into: Annotated[
        str, Field(min_length=1, max_length=4_000, description="The directory to be made, below `into_root`.")
    ],
    into_root: Annotated[
        str | None, Field(description="A writable root; the one of the archive unless given.")
    ] = None,
    nested: Annotated[bool, Field(description="Whether archives in it are unpacked as well.")] = False,
    skip_links: Annotated[
        bool, Field(description="Whether links in it are left out; they are a reason to refuse it otherwise.")
    ] = False,
) -> Unpacked:
    """Unpack an archive (zip, tar, gzip, bzip2, xz, zstd) into a new directory, within caps."""
    from hopyard_file.documents.unpacking import unpack

    return await unpack(job, root, way, into_root or root, into, nested=nested, skip_links=skip_links)


@task(
    "file.list_documents",
    path="files/list-documents",
    retry=RetryPolicy(max_retries=1, backoff=5),
    time_limit=60,
    tool=_READS,
)
async def list_documents(
    root: Annotated[str | None, Field(description="Those of one root.")] = None,
    under: Annotated[str, Field(max_length=4_000, description="Whose way begins so.")] = "",
    limit: Annotated[int, Field(ge=1, le=1_000)] = 50,
) -> list[Listed]:
    """List the documents that were read, those of late first: what each is, and what was wrong with it."""
    from hopyard_file.documents import store

    return [
        Listed(**{**one, "categories": one["categories"] or []})
        for one in await store.documents(root, under=under, limit=limit)
    ]


TASKS = (
    process_uploaded_file,
    process_document,
    extract_text_from_pdf,
    analyze_file_with_ai,
    batch_process_files,
    unpack_archive,
    list_documents,
)
