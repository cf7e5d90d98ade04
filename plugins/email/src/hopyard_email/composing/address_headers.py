"""The headers with addresses, written so that no reader finds another address in them than was given.

The standard library's folding takes a long name apart and loses its quotes, so that a comma in it begins
another address. Here each address has its own line, and a name that is not plain is an encoded word.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from email.utils import getaddresses
from typing import Final

from hopyard.errors import InvalidInput

from hopyard_email.addresses import Address

#: A name that needs no quotes (atoms of RFC 5322 §3.2.3, between single spaces), and fits into one line.
_PLAIN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/?^_`{|}~-]+)*")
_LONGEST_NAME: Final = 60
#: Bytes in one encoded word, which has at most 75 characters (RFC 2047 §2).
_WORD: Final = 42


def header(name: str, addresses: Sequence[Address]) -> str:
    """Return a header of addresses with CRLF behind each of its lines. Raises `InvalidInput`.

    It is read back: where a reader would find other addresses than these, the mail is refused.
    """
    text = ",\r\n ".join(_written(one) for one in addresses)
    found = [address for _, address in getaddresses([text.replace("\r\n", "")])]
    if found != [one.plain for one in addresses]:
        raise InvalidInput(f"{name}: found an address or name that would be read as another address")
    return f"{name}: {text}\r\n"


def _written(address: Address) -> str:
    name = address.name
    if not name:
        return address.plain
    if len(name) > _LONGEST_NAME or not _PLAIN.fullmatch(name):
        name = "\r\n ".join(_words(name))
    return f"{name} <{address.plain}>"


def _words(name: str) -> list[str]:
    """Return a name as encoded words (RFC 2047), none of which ends within a character."""
    pieces, piece = [], b""
    for letter in name:
        encoded = letter.encode()
        if len(piece) + len(encoded) > _WORD:
            pieces.append(piece)
            piece = b""
        piece += encoded
    return [f"=?utf-8?b?{base64.b64encode(one).decode()}?=" for one in [*pieces, piece]]
