"""What a server's reply means for a letter."""

from __future__ import annotations

import re
from typing import Final

from hopyard_email.outbox.outcomes import Outcome
from hopyard_email.texts import one_line

_ENHANCED: Final = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b[ \t]*")


def outcome_of(code: int, message: str) -> Outcome:
    """Return the outcome that a reply to a letter means: RFC 5321 §4.2.1 by its first digit.

    The enhanced status code (RFC 3463) is taken from the text, where the server has put it, and only if it
    says the same as the reply's code.
    """
    text = one_line(message)
    found = _ENHANCED.match(text)
    status = found[1] if found and found[1][0] == str(code)[0] else None
    shown = f"{code} {text}"[:1000]
    if 200 <= code < 300:
        return Outcome("sent", shown, status)
    if 500 <= code < 600:
        return Outcome("failed", shown, status)
    return Outcome("deferred", shown, status)


def is_about_the_connection(code: int) -> bool:
    """Say whether a reply is about the connection or login, so that the letter itself was not judged.

    421: the server closes; 454, 530, 534, 535, 538: it wants another login (RFC 4954 §6).
    """
    return code in (421, 454, 530, 534, 535, 538)
