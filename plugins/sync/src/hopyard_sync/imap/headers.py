"""What a message says in its header, as far as it can be read: a broken one is stored all the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import policy
from email.errors import MessageError
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from typing import Any

from hopyard_sync.imap import syntax
from hopyard_sync.imap.store import Message
from hopyard_sync.texts import storable

_MAX_HEADER = 64_000
_MAX_TEXT = 2000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def message(uid: int, items: dict[str, Any], content: bytes, flags: str, most: int) -> Message:
    """Return a message of a FETCH answer, at most `most` octets of it, which is what was asked for."""
    head = BytesHeaderParser(policy=policy.compat32).parsebytes(_head(content))
    told = syntax.number(items.get("RFC822.SIZE"), syntax.MAX_MODSEQ)
    size = max(told or 0, len(content))
    content = content[:most]
    return Message(
        uid=uid,
        message_id=_text(head.get("Message-ID")),
        sender=_text(head.get("From")),
        recipients=_text(", ".join(str(one) for one in (*head.get_all("To", ()), *head.get_all("Cc", ())))),
        subject=_text(head.get("Subject")),
        sent=_date(head.get("Date")),
        received=_internal(items.get("INTERNALDATE")),
        flags=flags,
        size=size,
        content=content,
        cut=size > len(content) and len(content) >= most,
    )


def _head(content: bytes) -> bytes:
    """Return the header of a message, at most so much of it that no trick can be costly."""
    part = content[:_MAX_HEADER]
    end = re.search(rb"\r?\n\r?\n", part)
    return part[: end.start()] if end else part


def _text(value: Any) -> str | None:
    """Return a header as plain text (RFC 2047); what cannot be decoded stays as it is."""
    from email.header import decode_header, make_header

    if value is None or not str(value).strip():
        return None
    raw = " ".join(str(value)[: 4 * _MAX_TEXT].split())
    try:
        text = str(make_header(decode_header(raw)))
    except (MessageError, LookupError, ValueError):
        text = raw
    plain = "".join(max(letter, " ") for letter in text)[:_MAX_TEXT]
    return storable(plain) or None


def _date(value: Any) -> datetime | None:
    try:
        found = parsedate_to_datetime(str(value)[:200])
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _internal(value: Any) -> datetime | None:
    """Return an INTERNALDATE, such as ` 7-Feb-2026 10:11:12 +0100`."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    match = re.fullmatch(r"\s?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d:\d\d:\d\d) ([+-]\d{4})", text)
    if match is None or match[2].title() not in _MONTHS:
        return None
    month = _MONTHS.index(match[2].title()) + 1
    try:
        found = datetime.fromisoformat(f"{match[3]}-{month:02}-{int(match[1]):02}T{match[4]}{match[5]}")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
