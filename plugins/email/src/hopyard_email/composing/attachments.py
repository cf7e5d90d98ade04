"""Attachments: bytes that came with the call, or files below declared folders."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from hopyard.errors import InvalidInput

from hopyard_email.addresses import check_text
from hopyard_email.composing.files import read_below

if TYPE_CHECKING:
    from hopyard_email.models import Attachment
    from hopyard_email.settings import EmailSettings

MOST: Final = 50
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}")
_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Loaded:
    """An attachment with its bytes."""

    name: str
    maintype: str
    subtype: str
    content: bytes
    inline: bool


def load(attachments: list[Attachment], settings: EmailSettings) -> list[Loaded]:
    """Return the attachments with their bytes. Raises `InvalidInput` for what is none, or too large."""
    if len(attachments) > MOST:
        raise InvalidInput(f"attachments: found {len(attachments)}, expected at most {MOST}")
    found, left = [], settings.max_bytes
    for one in attachments:
        loaded = _load(one, settings, left)
        left -= len(loaded.content)
        found.append(loaded)
    names = [one.name for one in found if one.inline]
    if len(set(names)) != len(names):
        raise InvalidInput(f"attachments: two inline ones have the same name: {', '.join(names)}")
    return found


def _load(attachment: Attachment, settings: EmailSettings, most: int) -> Loaded:
    name = attachment.name or (PurePosixPath(attachment.file).name if attachment.file else "")
    name = check_text(name, "attachments: name", _NAME)
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        raise InvalidInput(f"attachments: found the name {name!r}, expected one without slashes")
    what = f"attachment {name}"
    if (attachment.data is None) == (attachment.file is None):
        raise InvalidInput(f"{what}: expected either `data` or `file`")
    if attachment.data is not None:
        content = _decoded(attachment.data, most, what)
    else:
        if not settings.attachment_roots:
            raise InvalidInput(f"{what}: files are attached only from `attachment_roots`, and there are none")
        content = read_below(settings.attachment_roots, attachment.file or "", most, what)
    maintype, subtype = _type(attachment.type, name, what)
    return Loaded(name, maintype, subtype, content, attachment.inline)


def _decoded(text: str, most: int, what: str) -> bytes:
    if len(text) > most * 4 // 3 + 4:
        raise InvalidInput(f"{what}: it is larger than the {most:,} bytes that are left of `max_bytes`")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{what}: `data` is no base64: {error}") from None


def _type(given: str | None, name: str, what: str) -> tuple[str, str]:
    found = (given or mimetypes.guess_type(name)[0] or "application/octet-stream").lower()
    if not _TYPE.fullmatch(found):
        raise InvalidInput(f"{what}: found the type {found[:80]!r}, expected one such as application/pdf")
    maintype, _, subtype = found.partition("/")
    if maintype in ("multipart", "message"):
        raise InvalidInput(
            f"{what}: the type {found} would be a part of this mail; expected application/octet-stream "
            "or another type of a file"
        )
    return maintype, subtype
