"""What the child process can do: read one file, one page by OCR, or unpack an archive."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from typing import Any, Final

from hopyard.sandbox.confinement import Refused, seal

from hopyard_file.parsing import archives, faults, kinds, mail, office, pdf, pictures, plain, web
from hopyard_file.parsing.faults import Content, Limits

_PIECE: Final = 1 << 20
_LIBRARIES: Final = {"pdf": ("pypdfium2",), "office": ("kreuzberg",), "archive": ("zstandard",)}


def _file(order: dict[str, Any], limits: Limits) -> bytes:
    """Read the whole file. Raises `Refused` for one that is too large."""
    parts, size = [], 0
    while piece := os.pread(order["file"], _PIECE, size):
        parts.append(piece)
        size += len(piece)
        if size > limits.max_bytes:
            raise Refused(f"it has more than {limits.max_bytes:,} bytes")
    return b"".join(parts)


def _read(order: dict[str, Any]) -> dict[str, Any]:
    limits = Limits(**order["limits"])
    data = _file(order, limits)
    name: str = order["name"]
    suffix = os.path.splitext(name.rstrip(". "))[1].lower()
    found = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    try:
        kind = kinds.kind_of(data, suffix)
        seal(order["writes"], *_LIBRARIES.get(kind.group, ()))
        content = Content(kind.name, kind.media_type)
        if disagreement := kinds.disagreement(kind, suffix):
            content.note(disagreement)
        if not order["kind_only"]:
            _read_content(kind, data, content, limits, order)
    except Refused as error:
        return {"refused": str(error), **found}
    content.text, cut = content.text[: limits.max_text], len(content.text) > limits.max_text
    content.truncated |= cut
    if content.truncated:
        content.note(f"only the first {faults.counted(limits.max_text)} characters of its text are kept")
    return asdict(content) | found | {"disagreement": disagreement or ""}


def _read_content(
    kind: kinds.Kind, data: bytes, content: Content, limits: Limits, order: dict[str, Any]
) -> None:
    if kind.group == "pdf":
        pdf.read(data, content, limits, order["passwords"])
    elif kind.group == "office":
        office.read(data, content, limits)
    elif kind.group == "image":
        pictures.read(data, content, limits)
    elif kind.group == "html":
        web.read(data, content, limits)
    elif kind.group == "mail":
        mail.read(data, content, limits)
    elif kind.group == "archive":
        archives.read(data, order["name"], content, limits)
    else:
        plain.read(data, content, limits)


def _ocr(order: dict[str, Any]) -> dict[str, Any]:
    limits = Limits(**order["limits"])
    from hopyard_file.parsing import ocr

    seal(order["writes"], "pypdfium2", "kreuzberg")
    data = _file(order, limits)
    kind = kinds.kind_of(data)
    ocr.language_data(order["languages"])
    media_type = kind.media_type
    if kind.group == "pdf":
        data, media_type = pdf.picture(data, order["page"], limits, order["passwords"]), "image/png"
    try:
        text, confidence = ocr.text_of(data, media_type, order["languages"])
    except ValueError as error:
        raise Refused(f"OCR failed: {error}") from None
    return {"text": text[: limits.max_text], "confidence": confidence}


def _unpack(order: dict[str, Any]) -> dict[str, Any]:
    limits = Limits(**order["limits"])
    from hopyard_file.parsing.unpacking import Unpacker

    seal(order["writes"], "zstandard")
    data = _file(order, limits)
    unpacker = Unpacker(
        order["directory"], limits, len(data), nested=order["nested"], skip_links=order["skip_links"]
    )
    unpacker.run(data, order["name"])
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "files": unpacker.count,
        "bytes": unpacker.budget.total,
        "links_left_out": unpacker.budget.links,
        "examples": unpacker.files,
    }


OPERATIONS: Final = {"read": _read, "ocr": _ocr, "unpack": _unpack}
