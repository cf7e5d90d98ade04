"""Text, Markdown, CSV, JSON and XML: decoded, and kept as they are."""

from __future__ import annotations

import codecs
from typing import Final

from hopyard_file.parsing.cleaning import storable
from hopyard_file.parsing.faults import Content, Limits

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(data: bytes) -> tuple[str, str]:
    """Return text and its encoding; what is not UTF-8 and says nothing else is taken for Windows-1252."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name, "replace"), name
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "windows-1252"


#: What Python calls encodings, and what no text is in.
_NO_CHARSETS: Final = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_7"}
)


def by_name(data: bytes, name: str) -> str | None:
    """Return text in the encoding of a name; None where there is no such encoding of texts."""
    try:
        found = codecs.lookup(name)
        if found.name.replace("-", "_") in _NO_CHARSETS:
            return None
        return data.decode(found.name, "replace")
    except (LookupError, ValueError):  # ValueError: the name has a NUL
        return None


def read(data: bytes, content: Content, limits: Limits) -> None:
    """Read a text."""
    text, encoding = decoded(data[: 4 * limits.max_text + 4])
    content.text = storable(text)
    if encoding == "windows-1252":
        content.note("nothing says in which encoding it is: read as Windows-1252")
    content.metadata |= {"encoding": encoding, "lines": content.text.count("\n") + 1}
    if len(data) > 4 * limits.max_text + 4:
        content.truncated = True
