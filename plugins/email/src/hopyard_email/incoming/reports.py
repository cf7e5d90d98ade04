"""Reports about our own mail: of non-delivery (RFC 3464) and of complaints (RFC 5965).

Anybody can write such a report. It counts only where it quotes what nobody can guess, and only the recipient
and the servers on the way have seen: the letter's own header in the copy that comes with it; or, of a mail to
one recipient alone, its Message-ID. The Message-ID of a mail to several is known to all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hopyard import storage

from hopyard_email.incoming.parsing import Parsed, Part, content_of, media_type, parameter
from hopyard_email.outbox.letters import note
from hopyard_email.outbox.outcomes import NO_SUCH_ADDRESS
from hopyard_email.outbox.suppression import suppress_in
from hopyard_email.smtp.wire import LETTER_HEADER
from hopyard_email.texts import cleaned

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings

Kind = Literal["bounce", "complaint", "list", "automatic", "personal"]

_STATUS: Final = re.compile(r"\b([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
_LETTER: Final = re.compile(rf"^{LETTER_HEADER}:[ \t]*([0-9a-f-]{{36}})\s*$", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID: Final = re.compile(r"^Message-ID:\s*(<[^\s<>]{3,400}>)", re.IGNORECASE | re.MULTILINE)
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of one recipient. `action` is as in RFC 3464, or `complaint`."""

    recipient: str
    action: str
    status: str | None
    detail: str


def kind_of(parsed: Parsed) -> Kind:
    """Say what kind of mail it is."""
    content = media_type(parsed.headers)
    report = parameter(parsed.headers, "report-type").lower() if content == "multipart/report" else ""
    if report == "delivery-status" or parsed.part("message/delivery-status"):
        return "bounce"
    if report == "feedback-report" or parsed.part("message/feedback-report"):
        return "complaint"
    if parsed.value("List-Id") or parsed.value("List-Unsubscribe"):
        return "list"
    automatic = parsed.value("Auto-Submitted").lower()
    if (automatic and automatic != "no") or parsed.value("Precedence").lower() in (
        "bulk",
        "junk",
        "auto_reply",
    ):
        return "automatic"
    return "personal"


def reports_in(parsed: Parsed) -> list[Report]:
    """Return what a report says, for each recipient that it names."""
    found = parsed.part("message/delivery-status")
    if found is not None:
        return [one for group in _groups(found)[:_MOST] if (one := _delivery(group)) is not None]
    found = parsed.part("message/feedback-report")
    if found is None:
        return []
    fields = {name: value for group in _groups(found) for name, value in group.items()}
    kind = fields.get("feedback-type", "abuse")
    recipient = _address(fields.get("original-rcpt-to", ""))
    return [Report(recipient, "complaint", None, f"feedback: {kind}")]


def _delivery(fields: dict[str, str]) -> Report | None:
    recipient = fields.get("original-recipient") or fields.get("final-recipient")
    if recipient is None:
        return None
    said = fields.get("diagnostic-code", "").partition(";")[2].strip()
    status = _STATUS.search(fields.get("status", ""))
    precise = _STATUS.search(said)
    # Some servers write 5.0.0, and the code that they got themselves behind it.
    code = precise if precise and (status is None or status[1].endswith(".0.0")) else status
    action = fields.get("action", "").lower()
    return Report(_address(recipient.rpartition(";")[2]), action, code[1] if code else None, said[:500])


def _groups(part: Part) -> list[dict[str, str]]:
    """Return the groups of fields in a machine-readable part."""
    text = _text(part)
    groups = []
    for block in re.split(r"\n[ \t]*\n", text)[: _MOST + 1]:
        lines = re.sub(r"\n[ \t]+", " ", block).split("\n")[:_MOST]
        fields = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                fields[name.strip().lower()] = value.strip()[:1000]
        groups.append(fields)
    return groups


def _text(part: Part) -> str:
    text = content_of(part).decode("utf-8", "replace").replace("\r\n", "\n")
    return cleaned(text, len(text))


def _address(text: str) -> str:
    return text.strip().strip("<>").lower()[:400]


async def take_in(parsed: Parsed, settings: EmailSettings) -> tuple[list[str], list[str]]:
    """Write reports into the timelines of our letters; return whom they suppressed, and what was no letter's.

    A failed delivery makes its letter `failed`. Addresses that do not exist, and who complained, get no mail
    any more; a full mailbox does.
    """
    copy = _copy(parsed)
    letter, message = _LETTER.search(copy), _MESSAGE_ID.search(copy)
    suppressed, strangers = [], []
    for report in reports_in(parsed):
        row = await _ours(report, letter[1] if letter else None, message[1] if message else None)
        if row is None:
            strangers.append(report.recipient or "somebody")
        elif await _apply(report, str(row["id"]), row["recipient_key"], settings):
            suppressed.append(row["recipient_key"])
    return suppressed, strangers


def _copy(parsed: Parsed) -> str:
    """Return the headers of the mail that a report is about."""
    for kind in ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"):
        part = parsed.part(kind)
        if part is not None:
            return _text(part).lstrip("\n").partition("\n\n")[0]
    return ""


async def _ours(report: Report, letter: str | None, message: str | None) -> storage.Row | None:
    """Return the letter that a report is about, if it is ours."""
    if message is None and letter is None:
        return None
    rows = await storage.fetch(
        "SELECT id, recipient_key FROM email_letter l WHERE message_id = $1 AND recipient_key = $2 "
        "AND NOT EXISTS (SELECT 1 FROM email_letter o WHERE o.content_id = l.content_id AND o.id <> l.id)",
        message or "",
        report.recipient,
    )
    if not rows and letter is not None and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", letter):
        # A redacted complaint, or a recipient that was forwarded: the letter's own id cannot be guessed.
        rows = await storage.fetch("SELECT id, recipient_key FROM email_letter WHERE id = $1", letter)
    return rows[0] if rows else None


async def _apply(report: Report, letter: str, recipient: str, settings: EmailSettings) -> bool:
    """Note a report; say whether its address gets no mail from now on."""
    failed = report.action == "failed"
    what = {"failed": "bounced", "complaint": "complained"}.get(
        report.action, f"report: {report.action}"[:60]
    )
    async with storage.transaction() as tx:
        await note(tx, [(letter, what, f"{report.status or ''} {report.detail}".strip())])
        if failed:
            await tx.execute(
                f"UPDATE email_letter SET state = 'failed', look_at = NULL, status = $2, reply = $3, "
                f"updated = {tx.sql.now} WHERE id = $1 AND state IN ('sent', 'unknown')",
                *(letter, report.status, report.detail[:1000] or None),
            )
        if settings.sandbox is not None:
            return False  # it is about the sandbox's address: the recipient never got anything
        if report.action == "complaint":
            return await suppress_in(tx, recipient, "complained", letter)
        if failed and report.status in NO_SUCH_ADDRESS:
            return await suppress_in(tx, recipient, f"bounced: {report.status} {report.detail}", letter)
    return False
