"""A mail: its headers, its text, and what is attached, which is named and not opened."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Final

from hopyard_file.parsing import web
from hopyard_file.parsing.cleaning import cleaned
from hopyard_file.parsing.faults import Content, Limits, Refused
from hopyard_file.parsing.plain import by_name

_HEADERS: Final = ("From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To")
_LONGEST: Final = 2_000
_MOST_ATTACHMENTS: Final = 200
#: Each part begins with a line of two hyphens. So do lines of programs: only far too many tell something.
_BOUNDARY: Final = b"\n--"


def read(data: bytes, content: Content, limits: Limits) -> None:
    """Read a mail. Raises `Refused` for one that has too many parts."""
    if data.count(_BOUNDARY) > 100 * limits.max_parts:
        raise Refused(f"it has more than {limits.max_parts:,} parts")
    message = email.message_from_bytes(data, policy=email.policy.default.clone(raise_on_defect=False))
    if not isinstance(message, EmailMessage):
        raise AssertionError("this policy makes nothing else")
    headers = {name: found for name in _HEADERS if (found := _header(message, name))}
    texts, pages, attachments = _parts(message, content, limits)
    content.metadata |= _dated(headers)
    content.metadata["attachments"] = attachments
    body = "\n\n".join(texts or pages)
    head = "\n".join(
        f"{name}: {headers[name]}" for name in ("From", "To", "Cc", "Subject", "Date") if name in headers
    )
    told = "".join(f"\n- {one['name'] or 'without name'} ({one['media_type']})" for one in attachments)
    content.text = f"{head}\n\n{body}" + (f"\n\nAttachments:\n{told}" if told else "")


def _parts(
    message: EmailMessage, content: Content, limits: Limits
) -> tuple[list[str], list[str], list[dict[str, object]]]:
    """Return plain texts, texts of HTML, and what is attached."""
    texts: list[str] = []
    pages: list[str] = []
    attachments: list[dict[str, object]] = []
    waiting = [message]
    seen = 0
    while waiting:  # not `walk`, which calls itself
        part = waiting.pop()
        seen += 1
        if seen > limits.max_parts:
            raise Refused(f"it has more than {limits.max_parts:,} parts")
        if part.is_multipart():
            waiting += [one for one in reversed(part.get_payload()) if isinstance(one, EmailMessage)]  # type: ignore[arg-type]
            continue
        media_type = part.get_content_type()
        if part.get_content_disposition() == "attachment" or media_type not in ("text/plain", "text/html"):
            _attach(part, media_type, attachments, content)
        elif media_type == "text/plain":
            texts.append(cleaned(_text(part)))
        else:
            pages.append(web.markdown(_text(part), limits.max_text)[0])
    return texts, pages, attachments


def _attach(
    part: EmailMessage, media_type: str, attachments: list[dict[str, object]], content: Content
) -> None:
    if len(attachments) >= _MOST_ATTACHMENTS:
        content.note(f"only the first {_MOST_ATTACHMENTS} attachments are named")
        return
    payload = part.get_payload()
    size = len(payload) * 3 // 4 if isinstance(payload, str) else 0
    try:
        name = part.get_filename() or ""
    except (
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
    ):  # what the parser of headers makes of broken ones
        name = ""
    attachments.append(
        {"name": cleaned(str(name))[:200], "media_type": media_type[:100], "about_bytes": size}
    )


def _text(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    return by_name(data, part.get_content_charset() or "utf-8") or data.decode("utf-8", "replace")


def _header(message: EmailMessage, name: str) -> str:
    try:
        found = message.get(name, "")
    except (ValueError, TypeError, IndexError, AttributeError):  # as above
        return ""
    return " ".join(cleaned(str(found)).split())[:_LONGEST]


def _dated(headers: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {name.lower().replace("-", "_"): value for name, value in headers.items()}
    found["title"] = headers.get("Subject", "")
    try:
        found["created"] = parsedate_to_datetime(headers.get("Date", "")).isoformat()
    except (ValueError, TypeError, IndexError):
        found.pop("created", None)
    return found
