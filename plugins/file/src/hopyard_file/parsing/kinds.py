"""What a file is, by its content alone: the name only says what it claims to be.

Signatures are those of the formats' own specifications. A file that is of two kinds at once is refused, since
one program would read this and another one that (polyglots; see `_second_kind`).
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Final, NamedTuple

from hopyard_file.parsing import endings
from hopyard_file.parsing.faults import Refused


class Kind(NamedTuple):
    """A kind of file."""

    name: str
    media_type: str
    group: str
    """`pdf`, `office`, `image`, `text`, `html`, `mail`, `archive`, or `other`, which is not read."""


_OOXML: Final = "application/vnd.openxmlformats-officedocument"
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("pdf", "application/pdf", "pdf"),
        Kind("docx", f"{_OOXML}.wordprocessingml.document", "office"),
        Kind("xlsx", f"{_OOXML}.spreadsheetml.sheet", "office"),
        Kind("pptx", f"{_OOXML}.presentationml.presentation", "office"),
        Kind("odt", "application/vnd.oasis.opendocument.text", "office"),
        Kind("ods", "application/vnd.oasis.opendocument.spreadsheet", "office"),
        Kind("html", "text/html", "html"),
        Kind("eml", "message/rfc822", "mail"),
        Kind("text", "text/plain", "text"),
        Kind("markdown", "text/markdown", "text"),
        Kind("csv", "text/csv", "text"),
        Kind("json", "application/json", "text"),
        Kind("xml", "application/xml", "text"),
        Kind("png", "image/png", "image"),
        Kind("jpeg", "image/jpeg", "image"),
        Kind("gif", "image/gif", "image"),
        Kind("tiff", "image/tiff", "image"),
        Kind("bmp", "image/bmp", "image"),
        Kind("webp", "image/webp", "image"),
        Kind("zip", "application/zip", "archive"),
        Kind("tar", "application/x-tar", "archive"),
        Kind("gzip", "application/gzip", "archive"),
        Kind("bzip2", "application/x-bzip2", "archive"),
        Kind("xz", "application/x-xz", "archive"),
        Kind("zstd", "application/zstd", "archive"),
    )
}
#: Names that say what kind of file it is.
SUFFIXES: Final = {
    **{f".{name}": {name} for name in ("pdf", "docx", "xlsx", "pptx", "odt", "ods", "eml", "json", "xml")},
    **{f".{name}": {name} for name in ("png", "gif", "bmp", "webp", "zip", "tar")},
    **{suffix: {"html"} for suffix in (".html", ".htm", ".xhtml")},
    **{suffix: {"jpeg"} for suffix in (".jpg", ".jpeg")},
    **{suffix: {"tiff"} for suffix in (".tif", ".tiff")},
    **{suffix: {"gzip"} for suffix in (".gz", ".tgz")},
    **{suffix: {"bzip2"} for suffix in (".bz2", ".tbz2")},
    **{suffix: {"xz"} for suffix in (".xz", ".txz")},
    **{suffix: {"zstd"} for suffix in (".zst", ".tzst")},
    **{
        suffix: {"text", "markdown", "csv"}
        for suffix in (".txt", ".text", ".log", ".md", ".markdown", ".csv", ".tsv")
    },
    # What runs by itself where it is opened, whatever is in it.
    **{f".{name}": {"program"} for name in ("exe", "dll", "scr", "com", "msi", "bat", "cmd", "hta", "vbs")},
    **{f".{name}": {"program"} for name in ("vbe", "wsf", "ps1", "lnk", "jar", "cpl", "pif", "reg")},
}
_TEXT_BY_SUFFIX: Final = {".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".tsv": "csv"}
_SIGNATURES: Final = (
    (0, b"%PDF-", "pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (257, b"ustar", "tar"),
)
_NOT_READ: Final = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: expected zip, tar, gzip, bzip2, xz or zstd"),
    (b"Rar!\x1a\x07", "a RAR archive: expected zip, tar, gzip, bzip2, xz or zstd"),
    (b"#!", "a script"),
)
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIL: Final = re.compile(
    rb"\A(?:[A-Za-z][A-Za-z0-9-]{0,60}:[^\n]{0,2000}\r?\n(?:[ \t][^\n]{0,2000}\r?\n){0,50}){2,}", re.ASCII
)
_MAIL_HEADS: Final = re.compile(
    rb"^(from|to|subject|date|message-id|received|mime-version):", re.IGNORECASE | re.MULTILINE
)
_HTML: Final = re.compile(
    rb"\A\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_HEAD: Final = 65_536
#: PDF readers find the header anywhere in the first kilobyte.
_PDF_HEADER: Final = 1_024
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_TAIL: Final = 65_557


def kind_of(data: bytes, suffix: str = "") -> Kind:
    """Return what the bytes are. Raises `Refused` for what is not read, and for what is two kinds at once."""
    if not data:
        raise Refused("it is empty")
    head = data[:_HEAD]
    name = _by_signature(head, data)
    if name is None:
        for signature, what in _NOT_READ:
            if head.startswith(signature) and (signature != b"MZ" or b"\0" in head):
                raise Refused(f"it is {what}")
        name = _text_kind(data, suffix)
    second = _second_kind(name, data)
    if second:
        raise Refused(f"it is of two kinds at once: a {name} file, and {second}")
    return KINDS[name]


def disagreement(kind: Kind, suffix: str) -> str | None:
    """Say how a name's suffix (lower case, with its dot) disagrees with what the file is; None if it fits."""
    expected = SUFFIXES.get(suffix)
    if expected is None or kind.name in expected:
        return None
    if kind.group == "text" and expected <= {"text", "markdown", "csv", "json", "xml"}:
        return None
    if kind.group == "text" and expected & {"html", "eml"}:
        return None  # a piece of HTML, or a mail without headers, is text
    return f"it is named {suffix}, but its content is {kind.name} ({kind.media_type})"


def _by_signature(head: bytes, data: bytes) -> str | None:
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return _zip_kind(data) if name == "zip" else name
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", head):
        return "bzip2"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return "bmp"
    if head.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Refused("it is an office file that is encrypted: save it without a password")
        raise Refused(
            "it is an office file of the old kind (.doc, .xls, .ppt, .msg): "
            "save it as .docx, .xlsx, .pptx or .eml"
        )
    if head[:4096].lstrip().startswith(b"%PDF-"):
        return "pdf"
    return None


def _zip_kind(data: bytes) -> str:
    """Say which kind of file a zip file holds; `zip` if it is an archive and nothing else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {info.filename for info in archive.filelist[:20_000]}
            if "[Content_Types].xml" in names and len(names) < len(archive.filelist[:20_000]):
                raise Refused("it is an office file with two parts of one name: programs would differ on it")
            if "[Content_Types].xml" in names:
                for folder, name in (("word/", "docx"), ("xl/", "xlsx"), ("ppt/", "pptx")):
                    if any(one.startswith(folder) for one in names):
                        return name
            if "mimetype" in names:
                info = archive.getinfo("mimetype")
                stated = archive.read(info)[:100].decode("ascii", "replace") if info.file_size < 200 else ""
                found = [kind.name for kind in KINDS.values() if kind.media_type == stated.strip()]
                return found[0] if found else "zip"
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise Refused(f"it begins as a zip file, and is none: {error}") from None
    return "zip"


def _text_kind(data: bytes, suffix: str) -> str:
    """Return which kind of text it is. Raises `Refused` for what is no text."""
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in data:
        raise Refused(f"it is {_named(data)}, which is not read")
    head = data[:_HEAD]
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        strange = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
        if strange > 4 + len(head) // 100:
            raise Refused(f"it is {_named(data)}, which is not read")
    bare = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(bare):
        return "html"
    mail = _MAIL.match(bare)
    if mail and len({found.lower() for found in _MAIL_HEADS.findall(mail.group())}) >= 2:
        return "eml"
    if suffix in _TEXT_BY_SUFFIX:
        return _TEXT_BY_SUFFIX[suffix]
    if suffix in (".html", ".htm", ".xhtml") and re.search(rb"<[a-zA-Z][^<>]{0,200}>", head):
        return "html"
    if bare.lstrip().startswith(b"<?xml"):
        return "xml"
    return "json" if suffix == ".json" else "text"


def _named(data: bytes) -> str:
    """Return what a file seems to be, for people."""
    import puremagic

    try:
        found = puremagic.magic_string(data[:_HEAD])
    except (puremagic.PureError, ValueError):
        found = []
    return (
        f"{found[0].name or found[0].extension}"
        if found and found[0].confidence >= 0.4
        else "no known kind of file"
    )


def _second_kind(name: str, data: bytes) -> str | None:
    """Return what a file is beside what it is; None for one that is one thing only."""
    zipped = name in ("zip", "docx", "xlsx", "pptx", "odt", "ods")
    at = data.find(b"%PDF-", 0, _PDF_HEADER)
    in_it = at >= 0 and at == _first_content(name, data)  # the first file of an archive may be a PDF
    if (
        name != "pdf"
        and at >= 0
        and not in_it
        and re.search(rb"startxref|%%EOF|[0-9] [0-9]{1,5} obj\b", data)
    ):
        return f"a PDF that begins at byte {at}"
    if not zipped and _ends_as_zip(data, padded=name != "tar"):
        return "a zip archive at its end"
    if name != "tar" and data[257:262] == b"ustar":
        return "a tar archive"
    if name == "pdf" and re.search(rb"<(?:html|script|!doctype html)\b", data[: max(at, 0)], re.IGNORECASE):
        return "a web page before the PDF"
    if after := endings.behind(name, data):
        return f"something else behind the picture ({after})"
    return None


def _ends_as_zip(data: bytes, *, padded: bool) -> bool:
    tail = data[-_ZIP_TAIL:]
    at = tail.rfind(_ZIP_END)
    if at < 0 or len(tail) - at < 22:
        return False
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    entries = int.from_bytes(tail[at + 10 : at + 12], "little")
    begins = len(data) - len(tail) + at - size
    # What is a zip file to the end only: a zip file within another file, such as an attachment, is not meant.
    ends = len(data) - len(tail) + at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little")
    rest = data[ends:]
    # A PDF goes on behind what is attached to it; behind a polyglot's archive is nothing that it needs.
    whole = b"%%EOF" not in rest if padded else not rest
    return whole and entries > 0 and begins >= 0 and data[begins : begins + 4] == b"PK\x01\x02"


def _first_content(name: str, data: bytes) -> int:
    """Return where the content of an archive's first file begins, if it is not packed; -1 for other files."""
    if name == "tar":
        return 512
    if name == "zip" and data[8:10] == b"\0\0":
        return 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return -1
