"""Reports about our own mail: of non-delivery (RFC 3464) and of complaints (RFC 5965).

Anybody can write such a report. It counts only where it names a letter of ours: by the Message-ID and the
recipient, or by our own header in the copy that comes with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from hopyard import storage

from hopyard_email.incoming.parsing import Parsed, Part, content_of
from hopyard_email.outbox.letters import note
from hopyard_email.outbox.outcomes import NO_SUCH_ADDRESS
from hopyard_email.outbox.suppression import suppress_in
from hopyard_email.smtp.wire import LETTER_HEADER

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
    content = parsed.headers.get_content_type()
    report = str(parsed.headers.get_param("report-type", "")).lower() if content == "multipart/report" else ""
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
    text = content_of(part).decode("utf-8", "replace").replace("\r\n", "\n")
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


def _address(text: str) -> str:
    return text.strip().strip("<>").lower()[:400]


async def take_in(parsed: Parsed) -> tuple[list[str], list[str]]:
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
        elif await _apply(report, str(row["id"]), row["recipient_key"]):
            suppressed.append(row["recipient_key"])
    return suppressed, strangers


def _copy(parsed: Parsed) -> str:
    """Return the headers of the mail that a report is about."""
    for kind in ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"):
        part = parsed.part(kind)
        if part is not None:
            head = content_of(part).decode("utf-8", "replace").replace("\r\n", "\n")
            return head.lstrip("\n").partition("\n\n")[0]
    return ""


async def _ours(report: Report, letter: str | None, message: str | None) -> storage.Row | None:
    """Return the letter that a report is about, if it is ours."""
    if message is None and letter is None:
        return None
    rows = await storage.fetch(
        "SELECT id, recipient_key FROM email_letter WHERE message_id = $1 AND recipient_key = $2",
        message or "",
        report.recipient,
    )
    if not rows and letter is not None and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", letter):
        # A redacted complaint, or a recipient that was forwarded: the letter's own id cannot be guessed.
        rows = await storage.fetch("SELECT id, recipient_key FROM email_letter WHERE id = $1", letter)
    return rows[0] if rows else None


async def _apply(report: Report, letter: str, recipient: str) -> bool:
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
        if report.action == "complaint":
            return await suppress_in(tx, recipient, "complained", letter)
        if failed and report.status in NO_SUCH_ADDRESS:
            return await suppress_in(tx, recipient, f"bounced: {report.status} {report.detail}", letter)
    return False
