"""Pictures: their size from the header, before anything is decoded."""

from __future__ import annotations

import struct

from hopyard_file.parsing.faults import Content, Limits, Refused


def read(data: bytes, content: Content, limits: Limits) -> None:
    """Note a picture's size; its text is found by OCR. Raises `Refused` for one that is too large."""
    width, height = size(data, content.kind)
    if not width or not height:
        raise Refused(f"its size cannot be read: it is no whole {content.kind} file")
    if width * height > limits.max_pixels:
        raise Refused(f"it has {width:,} × {height:,} pixels, expected at most {limits.max_pixels:,} in all")
    content.metadata |= {"width": width, "height": height}
    content.pages = 1
    if content.kind == "tiff" and _has_more_pages(data):
        content.note("it has more pages, of which only the first is read")
    content.scanned = [1]


def size(data: bytes, kind: str) -> tuple[int, int]:
    """Return width and height in pixels; zeros where they are not found."""
    try:
        if kind == "png":
            return struct.unpack(">II", data[16:24])
        if kind == "gif":
            return struct.unpack("<HH", data[6:10])
        if kind == "bmp":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if kind == "webp":
            return _webp(data)
        return _tiff(data) if kind == "tiff" else _jpeg(data)
    except (struct.error, IndexError):
        return 0, 0


def _jpeg(data: bytes) -> tuple[int, int]:
    """Look for the largest frame: a file may have a small one, in a thumbnail, before the real one."""
    at, found = 2, (0, 0)
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0xD8, 0x01) or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            found = max(found, (width, height), key=lambda one: one[0] * one[1])
        if marker == 0xDA:
            break
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return found


def _webp(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _has_more_pages(data: bytes) -> bool:
    """Say whether the directory of a TIFF's first page names another one."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack(f"{order}I", data[4:8])[0]
    end = at + 2 + 12 * struct.unpack(f"{order}H", data[at : at + 2])[0]
    return bool(data[end : end + 4].strip(b"\0"))


def _tiff(data: bytes) -> tuple[int, int]:
    """Look at the first page; each further one is decoded by itself."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack(f"{order}I", data[4:8])[0]
    found = {}
    for entry in range(min(struct.unpack(f"{order}H", data[at : at + 2])[0], 500)):
        place = at + 2 + 12 * entry
        tag, form = struct.unpack(f"{order}HH", data[place : place + 4])
        wide = "H" if form == 3 else "I"
        if tag in (256, 257):
            length = struct.calcsize(wide)
            found[tag] = struct.unpack(f"{order}{wide}", data[place + 8 : place + 8 + length])[0]
    return found.get(256, 0), found.get(257, 0)
