"""Texts that others wrote, such as replies and mail, as they may be stored, logged and shown."""

from __future__ import annotations

import re
from typing import Final

#: What PostgreSQL or UTF-8 does not hold, moves a terminal's cursor, or turns the order of letters.
_UNFIT: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def cleaned(text: object, most: int = 1000) -> str:
    """Return a text without NUL, other controls and halves of characters, cut to `most` characters.

    Lines stay. Each text of a stranger goes through this before it reaches the database or a result.
    """
    return _UNFIT.sub("\ufffd", str(text)[:most])


def one_line(text: object, most: int = 1000) -> str:
    """Return a text as `cleaned` does, in one line."""
    return " ".join(cleaned(text, most).split())
