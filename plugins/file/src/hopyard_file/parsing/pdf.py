"""PDF by PDFium: text page by page, metadata, which pages are scans, and a page as a picture."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

from hopyard_file.parsing.cleaning import cleaned
from hopyard_file.parsing.faults import Content, Limits, Refused

#: A page with so few characters that are no blanks may be a scan: with a page number printed on it, say.
_FEW_CHARACTERS: Final = 80
_NO_CHARACTERS: Final = 10
#: The part of a page that a picture must cover for that.
_COVERED: Final = 0.3
#: A page without text that draws so many things may be text drawn as outlines.
_MANY_PATHS: Final = 30
_MOST_OBJECTS: Final = 20_000
_METADATA: Final = {
    "Title": "title",
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "Creator": "creator",
    "Producer": "producer",
    "CreationDate": "created",
    "ModDate": "modified",
}
#: Objects that stand by themselves, as `1 0 obj`; the most of a book of 5,000 pages are a few for each page.
_MOST_INDIRECT: Final = 500_000
_DATE: Final = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?")
_DOTS_PER_INCH: Final = 300
_POINTS: Final = 72


def opened(data: bytes, passwords: Sequence[str]) -> Any:
    """Open a document, with one of the passwords if it wants one. Raises `Refused`."""
    import pypdfium2  # type: ignore[import-untyped]
    import pypdfium2.raw  # type: ignore[import-untyped]

    begins = data.find(b"%PDF-", 0, 4096)
    if data.count(b" obj") > _MOST_INDIRECT:
        raise Refused(f"it has more than {_MOST_INDIRECT:,} objects")
    reason = ""
    for password in (None, *passwords):
        try:
            return pypdfium2.PdfDocument(data[begins:] if begins > 0 else data, password=password)
        except pypdfium2.PdfiumError as error:
            reason = str(error)
            if getattr(error, "err_code", None) != pypdfium2.raw.FPDF_ERR_PASSWORD:
                raise Refused(f"it is no PDF that can be read: {error}") from None
    del reason
    hint = (
        "none of `documents.passwords` opens it"
        if passwords
        else "give its password in `documents.passwords`"
    )
    raise Refused(f"it is encrypted with a password: {hint}")


def read(data: bytes, content: Content, limits: Limits, passwords: Sequence[str]) -> None:
    """Read the text of all pages, and note which ones are scans. Raises `Refused`."""
    document = opened(data, passwords)
    content.pages = len(document)
    if content.pages > limits.max_pages:
        raise Refused(f"it says that it has {content.pages:,} pages, expected at most {limits.max_pages:,}")
    content.metadata |= _metadata(document)
    texts: list[str] = []
    broken: list[int] = []
    length = 0
    for number in range(1, content.pages + 1):
        text = "" if length > limits.max_text else _page(document, number, content, broken)
        length += len(text)
        texts.append(text)
    if broken:
        _tell_broken(broken, content)
    content.truncated = length > limits.max_text
    content.text = "\f".join(texts)


def _tell_broken(broken: list[int], content: Content) -> None:
    if len(broken) == content.pages:
        raise Refused("none of its pages can be read: its page tree is broken, or leads back to itself")
    told = ", ".join(str(number) for number in broken[:20]) + (" …" if len(broken) > 20 else "")
    content.note(f"{len(broken)} pages cannot be read: {told}")


def _page(document: Any, number: int, content: Content, broken: list[int]) -> str:
    """Return the text of one page; a fault costs that page only."""
    import pypdfium2

    try:
        page = document[number - 1]
    except pypdfium2.PdfiumError:
        broken.append(number)
        return ""
    try:
        textpage = page.get_textpage()
        text = cleaned(textpage.get_text_range(errors="replace"))
        textpage.close()
        if _is_scan(page, sum(not one.isspace() for one in text)):
            content.scanned.append(number)
        return text
    except pypdfium2.PdfiumError:
        broken.append(number)
        return ""
    finally:
        page.close()


def _is_scan(page: Any, characters: int) -> bool:
    """Say whether what people see on a page is a picture, in which there may be text."""
    import pypdfium2.raw as raw

    if characters >= _FEW_CHARACTERS:
        return False
    width, height = page.get_size()
    covered, paths = 0.0, 0
    for count, thing in enumerate(page.get_objects(max_depth=4)):
        if count > _MOST_OBJECTS:
            break
        if thing.type == raw.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = thing.get_bounds()
            covered += abs((right - left) * (top - bottom)) / max(width * height, 1.0)
        elif thing.type == raw.FPDF_PAGEOBJ_PATH:
            paths += 1
    return covered >= _COVERED or (characters < _NO_CHARACTERS and (covered > 0.01 or paths >= _MANY_PATHS))


def _metadata(document: Any) -> dict[str, object]:
    given = document.get_metadata_dict(skip_empty=True)
    found: dict[str, object] = {}
    for theirs, ours in _METADATA.items():
        value = " ".join(cleaned(str(given.get(theirs, ""))).split())[:2_000]
        if value:
            found[ours] = _date(value) if ours in ("created", "modified") else value
    attached = document.count_attachments()
    if attached:
        found["attachments"] = attached
    if document.get_formtype():
        found["form"] = True
    return found


def _date(text: str) -> str:
    """Return a PDF's date as ISO 8601, without its zone; as it stands where it is none."""
    found = _DATE.match(text)
    if found is None:
        return text[:100]
    year, month, day, hour, minute, second = (one or "00" for one in found.groups())
    return (
        f"{year}-{month if month != '00' else '01'}-{day if day != '00' else '01'}T{hour}:{minute}:{second}"
    )


def picture(data: bytes, number: int, limits: Limits, passwords: Sequence[str]) -> bytes:
    """Return a page as a grey PNG at 300 dots an inch, at fewer where it is large. Raises `Refused`."""
    import pypdfium2

    document = opened(data, passwords)
    try:
        page = document[number - 1]
    except (pypdfium2.PdfiumError, IndexError):
        raise Refused(f"page {number} cannot be read") from None
    width, height = page.get_size()
    scale = _DOTS_PER_INCH / _POINTS
    pixels = max(width * scale * height * scale, 1.0)
    most = min(limits.max_pixels, 20_000_000)
    if pixels > most:
        scale *= (most / pixels) ** 0.5
    bitmap = page.render(scale=scale, grayscale=True)
    return png(bytes(bitmap.buffer), bitmap.width, bitmap.height, bitmap.stride)


def png(grey: bytes, width: int, height: int, stride: int) -> bytes:
    """Return a grey picture, a byte for each pixel, as PNG."""
    rows = b"".join(b"\0" + grey[at : at + width] for at in range(0, height * stride, stride))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    # Tesseract takes the size of letters from it.
    density = struct.pack(">IIB", *(2 * [round(_DOTS_PER_INCH / 0.0254)]), 1)
    chunks = ((b"IHDR", header), (b"pHYs", density), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
