"""The channel mailto:// of people: what they are told goes through the outbox as any other mail."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from hopyard import Message, storage
from hopyard.errors import InvalidInput

from hopyard_email.models import Mail
from hopyard_email.sending import put


async def deliver(address: str, message: Message) -> None:
    """Mail a notification to `mailto://ada@example.org`; a repeat of the same one is not sent twice.

    Raises `InvalidInput` for an address that is none.
    """
    from hopyard_email import Email

    recipient = recipient_of(address)
    mail = Mail(
        to=[recipient],
        subject=subject_of(message.title),
        text=(message.body or message.title).replace("\0", " ") or "(no text)",
        person=message.person,
    )
    # The delivery's job may run again: the mail's id is the notification's, so the outbox has it once.
    id_ = storage.derived_id(message.id, "mailto", recipient)
    await put(mail, Email.current().settings, id_=id_)


def subject_of(title: str) -> str:
    """Return a title, which may be any text, as the subject of a mail."""
    readable = re.sub(r"[^\S ]|[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]", " ", title).replace("=?", "= ?")
    return " ".join(readable.split())[:200] or "Notification"


def recipient_of(address: str) -> str:
    """Return the mail address of a channel. Raises `InvalidInput`."""
    parts = urlsplit(address)
    if parts.password is not None or parts.query:
        raise InvalidInput(
            "this mailto:// channel is written for Apprise, with a password or options; the email plugin "
            "sends by its own accounts: write mailto://ada@example.org, or set `channel = false`"
        )
    rest = unquote(address.partition(":")[2].lstrip("/").rstrip("/"))
    if "@" not in rest:
        raise InvalidInput("a mailto:// channel has no address: expected mailto://ada@example.org")
    return rest
