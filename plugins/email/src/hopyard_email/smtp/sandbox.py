"""The sandbox: mail goes to one address, or into a folder, and never to its recipients."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hopyard.errors import ResourceError

from hopyard_email.addresses import parse_address

if TYPE_CHECKING:
    from hopyard_email.outbox.claims import Claimed
    from hopyard_email.settings import EmailSettings


def recipient(letter: Claimed, settings: EmailSettings) -> str:
    """Return the address that a letter is handed to the server for."""
    if settings.sandbox is None or settings.sandbox.to is None:
        return letter.recipient
    return parse_address(settings.sandbox.to, "sandbox").plain


def headers(letter: Claimed, settings: EmailSettings) -> list[str]:
    """Return header lines that say whom a letter was for."""
    if settings.sandbox is None or not letter.recipient.isascii():
        return []
    return [f"X-Hopyard-Sandbox: for {letter.recipient}"]


def write(folder: Path | None, id_: str, raw: bytes) -> Path:
    """Write a letter as `ID.eml`, whole or not at all. Raises `ResourceError`."""
    if folder is None:
        raise ResourceError("the sandbox has no folder")
    path, draft = folder / f"{id_}.eml", folder / f".{id_}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_bytes(raw)
        draft.replace(path)
    except OSError as error:
        raise ResourceError(f"the sandbox's folder {folder} cannot be written: {error.strerror}") from error
    return path
