"""Reading a document: its content is known already, or a child reads it, and OCR its scanned pages."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hopyard import trees
from hopyard.errors import ResourceError

from hopyard_file import roots
from hopyard_file.documents import children, store
from hopyard_file.documents.children import Missing, Refusal
from hopyard_file.documents.store import Content, ReadPage

if TYPE_CHECKING:
    from hopyard import Job

    from hopyard_file.documents.settings import DocumentSettings

#: Of what is read here: raise it when documents shall be read again, because they are read better.
_READING: Final = "1"
_PIECE: Final = 1 << 20
#: What JSON makes of a character at most, and what comes beside the text.
_ANSWER: Final = 12
_REST: Final = 4_000_000
_Say = Callable[[str], None]


class Reader:
    """Reads files of roots for one job, as the settings say."""

    def __init__(self, job: Job | None, own: DocumentSettings, *, ocr: bool = True) -> None:
        self._job = job
        self._own = own
        self._ocr = ocr and own.ocr
        self._room = asyncio.Semaphore(own.at_once)

    @property
    def reading(self) -> str:
        """How files are read, in a word by which contents are known."""
        ocr = f" ocr {self._own.ocr_languages} {self._own.ocr_pages}" if self._ocr else ""
        return f"{_READING} text {self._own.max_text}{ocr}"

    async def read(self, root: str, way: str, say: _Say = lambda _: None) -> tuple[Content, bool]:
        """Return what is in a file, and whether it was known; what it is now is noted either way.

        Raises `Refusal` for a file that is not read, `InvalidInput` for one that is not there,
        `Missing` and `ResourceError`.
        """
        noted: dict[str, Any] = {"reading": self.reading}
        if self._job is not None:
            noted |= {"job": self._job.id, "person": self._job.person}
        try:
            content, was_known = await self._read(root, way, say)
        except Refusal as error:
            problem = str(error)
            await store.place(
                root, way, "refused", sha256=error.sha256, size=error.size, problem=problem, **noted
            )
            raise Refusal(f"{trees.shown(way)}: {problem}", error.sha256, error.size) from None
        except (ResourceError, Missing) as error:
            await store.place(root, way, "failed", problem=str(error), **noted)
            raise
        await store.place(root, way, "read", content=content, notes=content.notes, **noted)
        return content, was_known

    async def _read(self, root: str, way: str, say: _Say) -> tuple[Content, bool]:
        async with opened(root, way) as descriptor:
            sha256 = await asyncio.to_thread(self._digest, descriptor)
            found = await store.known(sha256, self.reading)
            if found is not None:
                return _named(found, way), True
            say(f"reading {trees.shown(way)}")
            answer = await self._child({"do": "read", "name": way.rpartition("/")[2]}, descriptor)
            content = _content(answer)
            # What the name says is no part of the content, which may lie elsewhere under another name.
            disagreement = answer["disagreement"]
            content.notes = [note for note in content.notes if note != disagreement]
            if answer["scanned"]:
                await self._read_scans(content, answer["scanned"], descriptor, say)
        await store.keep(content, self.reading)
        return _named(content, way, disagreement), False

    def _digest(self, descriptor: int) -> str:
        """Return the SHA-256 of a file. Raises `Refusal` for one that is too large."""
        digest, size = hashlib.sha256(), 0
        while piece := os.pread(descriptor, _PIECE, size):
            size += len(piece)
            if size > self._own.max_bytes:
                raise Refusal(
                    f"it has more than {self._own.max_bytes:,} bytes", size=os.fstat(descriptor).st_size
                )
            digest.update(piece)
        return digest.hexdigest()

    async def kind(self, root: str, way: str) -> dict[str, Any]:
        """Return what a file is: `kind`, `media_type`, and its `disagreement` with its name's suffix."""
        async with opened(root, way) as descriptor:
            order = {"do": "read", "name": way.rpartition("/")[2], "kind_only": True}
            return await self._child(order, descriptor)

    async def _child(self, order: dict[str, Any], descriptor: int) -> dict[str, Any]:
        own = self._own
        whole = {
            "kind_only": False,
            "passwords": [one.get_secret_value() for one in own.passwords],
            "limits": limits(own),
            "memory": own.memory,
            "cpu": own.cpu_seconds,
            "writes": 0,
            **order,
        }
        async with self._room:
            return await children.run(
                whole,
                {"file": descriptor},
                seconds=own.seconds,
                most_bytes=_ANSWER * own.max_text + _REST,
            )

    async def _read_scans(self, content: Content, scanned: list[int], descriptor: int, say: _Say) -> None:
        """Read the pages that have no text by OCR, and put them where they belong."""
        if not self._ocr:
            content.notes.append(f"{_pages(scanned)} without text: OCR is off")
            return
        if len(scanned) > self._own.ocr_pages:
            left = scanned[self._own.ocr_pages :]
            content.notes.append(
                f"{_pages(left)} without text: OCR reads at most {self._own.ocr_pages} of a file"
            )
            scanned = scanned[: self._own.ocr_pages]
        known = await store.pages(content.sha256, self.reading)
        missing: list[str] = []
        done = 0

        async def read(number: int) -> ReadPage | None:
            nonlocal done
            page = known.get(number) or await self._read_page(content, number, descriptor, missing)
            done += 1
            say(f"OCR: {done} of {len(scanned)} pages")
            return page

        pages = await gathered([read(number) for number in scanned])
        _put(content, [page for page in pages if page is not None])
        if missing:
            content.whole = False
            content.notes.append(f"{_pages(scanned)} without text: {missing[0]}")

    async def _read_page(
        self, content: Content, number: int, descriptor: int, missing: list[str]
    ) -> ReadPage | None:
        """Read a page; a fault costs that page alone. None where OCR is not to be had here now."""
        if missing:
            return None
        order = {"do": "ocr", "page": number, "languages": self._own.ocr_languages, "name": ""}
        try:
            answer = await self._child(order, descriptor)
        except (Missing, ResourceError) as error:
            missing.append(str(error))
            return None
        except Refusal as error:
            page = ReadPage(number, "", problem=str(error))
        else:
            page = ReadPage(number, answer["text"], answer["confidence"])
        await store.keep_page(content.sha256, self.reading, page)
        return page


def limits(own: DocumentSettings) -> dict[str, Any]:
    """Return the limits as a child knows them."""
    unpack = own.unpack
    return {
        **{name: getattr(own, name) for name in ("max_bytes", "max_text", "max_pages", "max_pixels")},
        **{name: getattr(own, name) for name in ("max_cells", "max_parts")},
        "max_entries": unpack.max_entries,
        "max_total": unpack.max_total_bytes,
        "max_ratio": unpack.max_ratio,
        "max_depth": unpack.max_depth,
    }


@asynccontextmanager
async def opened(root: str, way: str) -> AsyncIterator[int]:
    """Have a file of a root open. Raises as `roots.open_file`."""
    descriptor = await asyncio.to_thread(roots.open_file, root, way)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def gathered(work: list[Any]) -> list[Any]:
    """Return what all of them return, in order; the first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _content(answer: dict[str, Any]) -> Content:
    names = ("sha256", "size", "kind", "media_type", "text", "pages", "metadata", "notes")
    return Content(**{name: answer[name] for name in names})


def _named(content: Content, way: str, disagreement: str | None = None) -> Content:
    """Return a content with what its name in this place says against it."""
    if disagreement is None:
        from hopyard_file.parsing import kinds

        suffix = os.path.splitext(way)[1].lower()
        kind = kinds.KINDS.get(content.kind)
        disagreement = (kinds.disagreement(kind, suffix) if kind else None) or ""
    return replace(content, notes=[disagreement, *content.notes]) if disagreement else content


def _put(content: Content, pages: list[ReadPage]) -> None:
    """Put pages into the text, after what text they had."""
    texts = content.text.split("\f") if content.pages and content.pages > 1 else [content.text]
    texts += [""] * ((content.pages or 1) - len(texts))
    for page in pages:
        if page.problem is not None:
            content.page_problems[page.number] = page.problem
            content.notes.append(f"page {page.number}: {page.problem}")
            continue
        before = texts[page.number - 1]
        texts[page.number - 1] = f"{before}\n\n{page.text}" if before else page.text
        content.pages_by_ocr.append(page.number)
    content.text = "\f".join(texts)
    sure = [page.confidence for page in pages if page.confidence is not None]
    content.confidence = round(sum(sure) / len(sure), 3) if sure else None


def _pages(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"page {numbers[0]} is"
    told = ", ".join(str(number) for number in numbers[:10])
    return f"{len(numbers)} pages ({told}{' …' if len(numbers) > 10 else ''}) are"
