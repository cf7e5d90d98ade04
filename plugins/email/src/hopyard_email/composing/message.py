"""A mail as bytes: headers, alternatives, attachments; and the check that nothing can be smuggled with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Final

from hopyard.errors import InvalidInput

from hopyard_email.addresses import Address, check_header_name, check_text, parse_address
from hopyard_email.composing import templates
from hopyard_email.composing.address_headers import header
from hopyard_email.composing.attachments import Loaded, load

if TYPE_CHECKING:
    from hopyard_email.models import Mail
    from hopyard_email.settings import EmailSettings

#: RFC 5322 §2.1.1: characters of a line, without its end.
LONGEST_LINE: Final = 998
#: Headers that follow from the mail itself.
_OURS: Final = frozenset(
    [
        "authentication-results",
        "auto-submitted",
        "bcc",
        "cc",
        "date",
        "dkim-signature",
        "from",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "message-id",
        "mime-version",
        "received",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    ]
)
_OURS_BEGIN: Final = ("arc-", "content-", "resent-", "x-hopyard-")


@dataclass(frozen=True, slots=True)
class Composed:
    """A mail that is ready: its bytes, whom it goes to, and its subject."""

    raw: bytes
    sender: Address
    recipients: tuple[Address, ...]
    subject: str


def compose(
    mail: Mail, sender: Address, *, message_id: str, date: datetime, settings: EmailSettings
) -> Composed:
    """Return a mail as bytes, with CRLF at the end of each line.

    Raises `InvalidInput` for whatever is wrong with it: it names the field, what was found and what was
    expected.
    """
    to, cc, bcc = (_addresses(getattr(mail, name), name) for name in ("to", "cc", "bcc"))
    recipients = _distinct([*to, *cc, *bcc])
    if not recipients:
        raise InvalidInput("to: found nobody, expected at least one recipient")
    if len(recipients) > settings.max_recipients:
        raise InvalidInput(
            f"to: found {len(recipients)} recipients, expected at most {settings.max_recipients} "
            "(`max_recipients`)"
        )
    if mail.bulk and settings.unsubscribe is None:
        raise InvalidInput("bulk: a mail to many needs the setting `unsubscribe`")
    subject, html, text = _content(mail, settings)
    reply_to = parse_address(mail.reply_to, "reply_to") if mail.reply_to else None
    utf8 = any(one.needs_utf8 for one in (sender, *to, *cc, *([reply_to] if reply_to else [])))
    given = {"From": [sender], "To": to, "Cc": cc, "Reply-To": [reply_to] if reply_to else []}
    made = _empty(utf8)
    made["Subject"] = subject
    made["Date"] = date
    made["Message-ID"] = message_id
    made["Auto-Submitted"] = "auto-generated"
    _add_headers(made, mail.headers)
    _add_content(made, html, text, load(mail.attachments, settings))
    named = {name: header(name, addresses) for name, addresses in given.items() if addresses}
    raw = "".join(named.values()).encode() + made.as_bytes()
    check_wire(raw, settings.max_bytes)
    _check_headers(raw, [*named, *made.keys()])
    return Composed(raw, sender, tuple(recipients), subject)


def check_wire(raw: bytes, most: int) -> None:
    """Raise `InvalidInput` unless these bytes can be sent as they are: size, line ends, length of lines."""
    if len(raw) > most:
        raise InvalidInput(f"the mail has {len(raw):,} bytes, expected at most {most:,} (`max_bytes`)")
    if b"\0" in raw:
        raise InvalidInput("the mail has a NUL in it, which no server takes")
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        raise InvalidInput("the mail has a line that ends with CR or LF alone, expected both")
    if max(map(len, raw.split(b"\r\n"))) > LONGEST_LINE:
        raise InvalidInput(f"the mail has a line of more than {LONGEST_LINE} characters")


def _check_headers(raw: bytes, expected: Sequence[str]) -> None:
    """Raise `InvalidInput` unless the bytes have the headers that were set, and no other one."""
    lines = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0].decode("latin-1") for line in lines if line[:1] not in (b" ", b"\t")]
    if names != expected:
        raise InvalidInput("a header's text would add another header, or end them")


def _empty(utf8: bool) -> EmailMessage:
    from email import policy

    return EmailMessage(policy=policy.SMTPUTF8 if utf8 else policy.SMTP)


def _addresses(given: Sequence[str], what: str) -> list[Address]:
    return [parse_address(one, what) for one in given]


def _distinct(addresses: Sequence[Address]) -> list[Address]:
    return [*{one.key: one for one in reversed(addresses)}.values()][::-1]


def _content(mail: Mail, settings: EmailSettings) -> tuple[str, str | None, str]:
    """Return subject, HTML and text, of the template or as they were given."""
    subject, html, text = mail.subject, mail.html, mail.text
    if mail.template is not None:
        if html is not None or text is not None:
            raise InvalidInput("template: expected no `text` and no `html` beside it")
        made = templates.render(mail.template, mail.values, settings)
        subject, html, text = subject or made.subject, made.html, made.text
    elif mail.values:
        raise InvalidInput("values: expected a `template` that they are for")
    html, text = templates.finish(html, text, settings.max_bytes)
    if text is None:
        raise InvalidInput("text: found nothing, expected `text`, `html` or `template`")
    for name, part in (("text", text), ("html", html)):
        odd = re.search("[\0\ud800-\udfff]", part or "")
        if odd is not None:
            raise InvalidInput(f"{name}: found U+{ord(odd[0]):04X} at place {odd.start()}, which is no text")
    if not subject.strip():
        raise InvalidInput("subject: found nothing, expected a line of text")
    return check_text(subject, "subject", 900), html, text


def _add_headers(made: EmailMessage, headers: dict[str, str]) -> None:
    if len(headers) > 50:
        raise InvalidInput(f"headers: found {len(headers)}, expected at most 50")
    for name, value in headers.items():
        lower = check_header_name(name).lower()
        if lower in _OURS or lower.startswith(_OURS_BEGIN):
            raise InvalidInput(f"headers: {name} follows from the mail itself and cannot be given")
        try:
            made[name] = check_text(value, f"headers: {name}")
        except (ValueError, IndexError) as error:  # a value that is none for a header of this name
            raise InvalidInput(f"headers: {name}: {error}") from None


def _add_content(made: EmailMessage, html: str | None, text: str, attachments: Sequence[Loaded]) -> None:
    made.set_content(text, cte="quoted-printable")
    if html is not None:
        made.add_alternative(html, subtype="html", cte="quoted-printable")
    for one in attachments:
        if not one.inline:
            made.add_attachment(one.content, one.maintype, one.subtype, filename=one.name)
            continue
        if html is None:
            raise InvalidInput(f"attachment {one.name}: inline ones need an HTML part that shows them")
        part = _html_part(made)
        part.add_related(
            one.content,
            one.maintype,
            one.subtype,
            filename=one.name,
            cid=f"<{one.name}>",
            disposition="inline",
        )


def _html_part(made: EmailMessage) -> EmailMessage:
    part = made.get_body(("related", "html"))
    assert isinstance(part, EmailMessage)  # noqa: S101 - it was added just before
    return part
