"""IMAP's syntax: answers as lists of atoms, strings and lists; names of folders."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hopyard.errors import InvalidInput

Value = Any
"""An atom is `str`, a string or literal `bytes`, NIL None, and a list in brackets a list."""

_TOKEN: Final = re.compile(
    rb'[ ]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]|\\.)*)"|\{(?P<literal>[0-9]+)\+?\}$'
    rb"|(?P<atom>(?:[^\s()\"{\[]|\[[^\]]*\](?:<[0-9]+>)?)+)|(?P<end>$))"
)
_LITERAL: Final = re.compile(rb"\{([0-9]{1,15})\+?\}$")
#: The largest number of a message, a UID or a UIDVALIDITY, and the largest MODSEQ (RFC 3501, RFC 7162).
MAX_NUMBER: Final = 2**32 - 1
MAX_MODSEQ: Final = 2**63 - 1
_MAX_DEPTH: Final = 20
_MAX_TOKENS: Final = 2_000_000


def literal_length(line: bytes) -> int | None:
    """Return how many octets follow a line that announces a literal."""
    match = _LITERAL.search(line)
    return int(match[1]) if match else None


def parse(parts: Sequence[bytes]) -> list[Value]:
    """Return the values of an answer: its lines without their ends, and between them the literals.

    Raises `InvalidInput` for what is no IMAP.
    """
    stack: list[list[Value]] = [[]]
    for n in range(0, len(parts), 2):
        line = parts[n]
        if n + 1 < len(parts):
            line = _LITERAL.sub(b"", line)
        for token in _tokens(line):
            _take(stack, token)
        if n + 1 < len(parts):
            stack[-1].append(parts[n + 1])
    if len(stack) != 1:
        raise InvalidInput("IMAP: found a list that does not end")
    return stack[0]


def _tokens(line: bytes) -> Iterator[re.Match[bytes]]:
    place = count = 0
    while place < len(line):
        token = _TOKEN.match(line, place)
        count += 1
        if token is None or token.end() == place or count > _MAX_TOKENS:
            if token is not None and token["end"] is not None:
                return
            raise InvalidInput(f"IMAP: found {line[place : place + 40]!r}, expected atoms, strings and lists")
        place = token.end()
        yield token


def _take(stack: list[list[Value]], token: re.Match[bytes]) -> None:
    if token["open"]:
        if len(stack) > _MAX_DEPTH:
            raise InvalidInput(f"IMAP: found lists within one another deeper than {_MAX_DEPTH}")
        made: list[Value] = []
        stack[-1].append(made)
        stack.append(made)
    elif token["close"]:
        if len(stack) == 1:
            raise InvalidInput("IMAP: found a closing bracket without an opening one")
        stack.pop()
    elif token["quoted"] is not None:
        stack[-1].append(re.sub(rb"\\(.)", rb"\1", token["quoted"]))
    elif token["atom"]:
        atom = token["atom"].decode("ascii", "replace")
        stack[-1].append(None if atom.upper() == "NIL" else atom)


def pairs(values: Sequence[Value]) -> dict[str, Value]:
    """Return the items of a FETCH answer by their names, in capitals."""
    return {
        str(name).upper(): value
        for name, value in zip(values[::2], values[1::2], strict=False)
        if isinstance(name, str)
    }


def can_be_quoted(text: bytes) -> bool:
    """Say whether a quoted string can hold a text; else it is to be sent as a literal."""
    return re.fullmatch(rb"[\x20-\x7e]*", text) is not None


def quoted(text: bytes) -> bytes:
    """Return text as a quoted string."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def folder_name(wire: bytes) -> str:
    """Return a folder's name as people know it (RFC 3501, section 5.1.3, modified UTF-7).

    What is no such encoding stays as it is, with what is not ASCII in it written out.
    """
    text = wire.decode("ascii", "backslashreplace")
    return re.sub(r"&([A-Za-z0-9+,]*)-", _decoded, text).replace("\0", "\ufffd")


def _decoded(match: re.Match[str]) -> str:
    if not match[1]:
        return "&"
    packed = match[1].replace(",", "/")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        return match[0]


def number(value: Value, most: int = MAX_NUMBER) -> int | None:
    """Return a number; None for what is none, or a larger one than the protocol has."""
    text = str(value)
    return int(text) if re.fullmatch("[0-9]{1,19}", text) and int(text) <= most else None


def as_set(uids: Sequence[int]) -> str:
    """Return numbers in order as a set such as `1:3,7`."""
    parts: list[list[int]] = []
    for uid in uids:
        if parts and uid == parts[-1][1] + 1:
            parts[-1][1] = uid
        else:
            parts.append([uid, uid])
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in parts)
