"""Office files: looked through for what a hostile hand puts into them, and then read by kreuzberg."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final
from xml.parsers import expat

from hopyard_file.parsing import archives
from hopyard_file.parsing.cleaning import cleaned
from hopyard_file.parsing.faults import Content, Limits, Missing, Refused

_XML: Final = (".xml", ".rels", ".vml")
#: References of these kinds load something when the file is opened.
_LOADED: Final = frozenset(
    {"attachedTemplate", "frame", "subDocument", "oleObject", "image", "externalLinkPath"}
)
#: Word itself names a template on the writer's disk as file:///C:/…
_REMOTE: Final = re.compile(
    r"\s*(?:(?:https?|ftp|smb|ldap|mhtml|ms-[a-z-]+):|file:(?!///[a-z]:)|\\\\|//)", re.IGNORECASE
)
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_CELL: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_PIECE: Final = 65_536


class _Enough(Exception):
    """The rest need not be looked at."""


def read(data: bytes, content: Content, limits: Limits) -> None:
    """Read an office file as Markdown. Raises `Refused`, `Missing`."""
    with archives.refusing(f"{content.kind} file"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        archives.check_zip(archive, len(data), limits)
        for info in archive.infolist():
            if info.filename.lower().endswith(_XML):
                _check_prolog(archive, info)
            if info.filename.endswith(".rels"):
                _check_references(archive, info, content)
            if _SHEET.fullmatch(info.filename):
                _check_sheet(archive, info, limits)
            if info.filename.endswith("vbaProject.bin"):
                content.note("it has macros, which were not run")
    _extract(data, content, limits)


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as part:
        while piece := part.read(_PIECE):
            yield piece


def _check_prolog(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse document types, which may declare entities; they stand before the first element."""
    parser = expat.ParserCreate()

    def declared(*_: object) -> None:
        raise Refused(f"{info.filename} declares a document type or entities, which office files do not")

    def begun(*_: object) -> None:
        raise _Enough

    parser.StartDoctypeDeclHandler = declared
    parser.EntityDeclHandler = declared
    parser.StartElementHandler = begun
    _feed(parser, archive, info)


def _feed(parser: Any, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    try:
        for piece in _pieces(archive, info):
            parser.Parse(piece, False)
    except _Enough:
        return
    except expat.ExpatError as error:
        raise Refused(f"{info.filename} is no XML: {error}") from None


def _check_references(archive: zipfile.ZipFile, info: zipfile.ZipInfo, content: Content) -> None:
    """Refuse templates and the like that would be loaded from elsewhere; name other references outside."""
    parser = expat.ParserCreate()

    def element(name: str, given: dict[str, str]) -> None:
        if not name.endswith("Relationship") or given.get("TargetMode") != "External":
            return
        kind, target = given.get("Type", "").rpartition("/")[2], given.get("Target", "")
        if kind not in _LOADED:
            return
        if _REMOTE.match(target) and kind != "image":
            raise Refused(f"it loads something from elsewhere when it is opened ({kind}): {target[:200]}")
        content.note(f"it refers to something outside ({kind}), which was not loaded: {target[:200]}")

    parser.StartElementHandler = element
    _feed(parser, archive, info)


def _check_sheet(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> None:
    """Refuse a sheet whose cells span more than can be held: a cell at each end is enough for billions."""
    parser = expat.ParserCreate()
    rows, columns = [10**9, 0], [10**9, 0]

    def element(name: str, given: dict[str, str]) -> None:
        if name.endswith("dimension"):
            places = given.get("ref", "").split(":")
        elif name == "c" or name.endswith(":c"):
            places = [given.get("r", "")]
        else:
            return
        for place in places:
            found = _CELL.fullmatch(place.replace("$", ""))
            if found is None:
                continue
            column = 0
            for letter in found.group(1):
                column = 26 * column + ord(letter) - 64
            row = int(found.group(2))
            rows[:] = min(rows[0], row), max(rows[1], row)
            columns[:] = min(columns[0], column), max(columns[1], column)
        span = (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1)
        if span > limits.max_cells and rows[1]:
            raise Refused(
                f"the sheet {info.filename} spans {span:,} cells, expected at most {limits.max_cells:,}"
            )

    parser.StartElementHandler = element
    _feed(parser, archive, info)


def _extract(data: bytes, content: Content, limits: Limits) -> None:
    try:
        import kreuzberg
    except ImportError:
        raise Missing(
            f"a {content.kind} file needs kreuzberg: `pip install 'hopyard-file[office]'`"
        ) from None
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="markdown",
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )
    try:
        found = kreuzberg.extract_bytes_sync(data, content.media_type, config)
    except kreuzberg.KreuzbergError as error:
        raise Refused(f"it is no {content.kind} file that can be read: {str(error)[:300]}") from None
    content.text = cleaned(found.content[: limits.max_text])
    content.truncated = len(found.content) > limits.max_text
    content.metadata |= _metadata(found)
    for warning in (found.processing_warnings or [])[:10]:
        content.note(str(getattr(warning, "message", warning)))


_WANTED: Final = (
    *("title", "subject", "authors", "created_at", "modified_at", "created_by", "modified_by", "keywords"),
    *("language", "sheet_count", "sheet_names", "slide_count", "page_count", "word_count"),
)


def _metadata(found: Any) -> dict[str, object]:
    given: dict[str, Any] = dict(found.metadata or {})
    kept: dict[str, object] = {"tables": len(found.tables or [])}
    for name in _WANTED:
        value = given.get(name)
        if isinstance(value, str):
            kept[name] = cleaned(value)[:2_000]
        elif isinstance(value, int | float | bool):
            kept[name] = value
        elif isinstance(value, list):
            kept[name] = [cleaned(str(one))[:200] for one in value[:100]]
    return kept
