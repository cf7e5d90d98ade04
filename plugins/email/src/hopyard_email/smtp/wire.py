"""A letter as it goes over the wire: the mail's bytes, with what belongs to this recipient alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard.errors import InvalidInput, ResourceError

from hopyard_email.composing.message import check_wire
from hopyard_email.smtp import sandbox

if TYPE_CHECKING:
    from hopyard_email.outbox.claims import Claimed
    from hopyard_email.settings import Account, Dkim, EmailSettings

#: Tells the letters of one mail apart, which have the same Message-ID.
LETTER_HEADER: Final = "X-Hopyard-Letter"
_SLACK: Final = 20_000
_SIGNED: Final = (
    *(b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"mime-version"),
    *(b"content-type", b"content-transfer-encoding", b"list-unsubscribe", b"list-unsubscribe-post"),
)


def as_sent(raw: bytes, letter: Claimed, account: Account, settings: EmailSettings) -> bytes:
    """Return the bytes for the server.

    Raises `InvalidInput` where they cannot be made, `ResourceError` where they cannot be signed.
    """
    lines = [f"{LETTER_HEADER}: {letter.id}"]
    if letter.unsubscribe:
        lines += [
            f"List-Unsubscribe: <{letter.unsubscribe}>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ]
    lines += sandbox.headers(letter, settings)
    head = "".join(f"{line}\r\n" for line in lines)
    if any(ord(one) < 32 and one not in "\r\n" for one in head) or head.count("\r\n") != len(lines):
        raise InvalidInput("the letter's own headers have control characters in them")
    made = head.encode() + raw
    check_wire(made, settings.max_bytes + _SLACK)
    if account.dkim is not None:
        made = _signature(made, account.dkim) + made
    return made


def check_signing(dkim_settings: Dkim) -> None:
    """Sign something. Raises `ResourceError` where that cannot be done."""
    _signature(b"From: a@example.org\r\nSubject: x\r\n\r\nx\r\n", dkim_settings)


def _signature(raw: bytes, dkim_settings: Dkim) -> bytes:
    """Return the DKIM-Signature header (RFC 6376), by an RSA key.

    Raises `ResourceError` where it cannot be made: that is the account's fault and not the letter's.
    """
    try:
        import dkim
    except ImportError as error:
        raise ResourceError("dkim: signing needs hopyard-email[dkim]") from error
    present = {
        line.partition(b":")[0].strip().lower() for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    }
    try:
        key = dkim_settings.key_file.read_bytes()
        made: bytes = dkim.sign(
            raw,
            dkim_settings.selector.encode(),
            dkim_settings.domain.encode(),
            key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name for name in _SIGNED if name in present],
        )
    except (dkim.DKIMException, OSError, ValueError) as error:
        raise ResourceError(
            f"dkim: nothing can be signed with {dkim_settings.key_file}, expected an RSA key as PEM: "
            f"{type(error).__name__}: {error}"
        ) from error
    return made
