"""Health: are the roots there, and is all installed that reading needs?"""

from __future__ import annotations

import asyncio
import importlib.util
import os

from hopyard import Health, trees
from hopyard.errors import InvalidInput

from hopyard_file import roots
from hopyard_file.parsing import ocr
from hopyard_file.parsing.faults import Missing


async def check_roots() -> Health:
    """Say whether all roots can be entered, and written to where that is declared."""
    troubles = await asyncio.to_thread(_troubles)
    if troubles:
        return Health(ok=False, detail="; ".join(troubles))
    return Health(ok=True, detail=f"{len(roots.settings().roots)} roots")


def _troubles() -> list[str]:
    found = []
    for name, root in roots.settings().roots.items():
        try:
            descriptor = trees.open_directory(root.path)
        except (InvalidInput, OSError) as error:
            found.append(f"root `{name}`: {getattr(error, 'strerror', None) or error}")
            continue
        try:
            if root.writable and not os.access(f"/proc/self/fd/{descriptor}", os.W_OK):
                found.append(f"root `{name}`: {root.path} may not be written to")
        finally:
            os.close(descriptor)
    return found


async def check_reading() -> Health:
    """Say what cannot be read here because something is not installed."""
    own = roots.settings().documents
    if importlib.util.find_spec("kreuzberg") is None:
        detail = "PDF, HTML, mail, text; office files and OCR need `pip install 'hopyard-file[office]'`"
        return Health(ok=True, detail=detail)
    if own.ocr:
        try:
            await asyncio.to_thread(ocr.language_data, own.ocr_languages)
        except Missing as error:
            return Health(ok=False, detail=f"{error}; or say `documents.ocr = false`")
    return Health(ok=True, detail="all kinds of documents" + (", scans too" if own.ocr else ""))
