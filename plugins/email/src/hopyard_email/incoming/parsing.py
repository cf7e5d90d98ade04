"""Reading a mail that anybody may have sent: in bounded time and memory, whatever is in it.

The standard library's parser builds the whole tree of parts first. Here parts are found one by one, so many
and so deep at most, and only the headers of each are parsed by the library.
"""

from __future__ import annotations

import base64
import codecs
import email.policy
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value
from functools import cached_property
from typing import Final

from hopyard_email.composing.plaintext import to_text
from hopyard_email.texts import cleaned, one_line

MAX_HEADERS: Final = 100_000
MAX_PARTS: Final = 100
MAX_DEPTH: Final = 8
#: Text of a mail that is looked at, in bytes of its parts as they were sent.
MAX_TEXT: Final = 200_000
_LONGEST_VALUE: Final = 4_000
_MOST_WORDS: Final = 200
#: Encodings of texts. Python knows others that read escapes or take time by the square of the length.
_ENCODINGS: Final = re.compile(
    r"ascii|utf-(7|8|8-sig|16.*|32.*)|iso8859-[0-9]+|cp[0-9]+|koi8-.*|mac-.*|gb.*|big5.*|shift_jis.*"
    r"|euc_.*|iso2022_.*|johab|hz|tis-620|ptcp154|hp-roman8"
)
_ADDRESS: Final = re.compile(r"[^\s<>\"(),;:]{1,200}@[^\s<>\"(),;:]{1,255}")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has no parts: its media type, headers, and bytes as they were sent."""

    type: str
    headers: Message
    body: bytes


@dataclass
class Parsed:
    """A mail that came in, as far as it was read."""

    headers: Message
    parts: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def value(self, name: str) -> str:
        """Return a header as text, one line, decoded, cut to 4,000 characters; empty if there is none."""
        return decoded(self.headers.get(name))

    @property
    def sender(self) -> str:
        """The address in From, in small letters; empty if there is none."""
        return next(iter(self.addresses("From")), "")

    def addresses(self, *names: str) -> list[str]:
        """Return the addresses in headers, in small letters, a hundred at most."""
        text = ", ".join(
            str(value)[:_LONGEST_VALUE] for name in names for value in self.headers.get_all(name, [])
        )
        return [found.lower() for found in _ADDRESS.findall(cleaned(text, len(text)))[:100]]

    @cached_property
    def text(self) -> str:
        """The text: of the first text parts, else made of the first HTML part; bounded."""
        for kind in ("text/plain", "text/html"):
            for part in self.parts:
                if part.type == kind and part.body.strip():
                    found = text_of(part)
                    return to_text(found) if kind == "text/html" else found
        return ""

    def part(self, kind: str) -> Part | None:
        """Return the first part of a media type."""
        return next((part for part in self.parts if part.type == kind), None)


def parse(raw: bytes) -> Parsed:
    """Return what a mail is, as far as the bounds allow; what was left out is in `problems`."""
    headers, body, problem = _split(raw)
    parsed = Parsed(headers, problems=[problem] if problem else [])
    for part in _parts(headers, body, 0, parsed.problems):
        if len(parsed.parts) == MAX_PARTS:
            parsed.problems.append(f"it has more than {MAX_PARTS} parts: the others were not read")
            break
        parsed.parts.append(part)
    return parsed


def _split(raw: bytes) -> tuple[Message, bytes, str | None]:
    """Return headers and body of a mail or part, and what is wrong."""
    if raw[:1] in (b"\n", b"\r"):
        return _headers(b""), raw.lstrip(b"\r\n"), None
    end = re.search(rb"\r?\n\r?\n", raw[: MAX_HEADERS + 4])
    if end is not None:
        return _headers(raw[: end.start()]), raw[end.end() :], None
    if len(raw) <= MAX_HEADERS:
        return _headers(raw), b"", None
    problem = f"its headers are longer than {MAX_HEADERS:,} bytes: only the beginning was read"
    return _headers(raw[:MAX_HEADERS].rpartition(b"\n")[0]), b"", problem


def _headers(raw: bytes) -> Message:
    return BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)


def _parts(headers: Message, body: bytes, depth: int, problems: list[str]) -> Iterator[Part]:
    kind = media_type(headers)
    boundary = parameter(headers, "boundary") if kind.startswith("multipart/") else ""
    if not boundary or len(boundary) > 200:
        yield Part("text/plain" if kind.startswith("multipart/") else kind, headers, body)
        return
    if depth == MAX_DEPTH:
        problems.append(f"its parts are nested deeper than {MAX_DEPTH}: the inner ones were not read")
        return
    for piece in _pieces(body, boundary.encode("utf-8", "replace")):
        inner, content, problem = _split(piece)
        if problem:
            problems.append(problem)
        yield from _parts(inner, content, depth + 1, problems)


def _pieces(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Yield what stands between the lines of a boundary, one at a time."""
    line = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|$)")
    begin = None
    place = 0
    while (found := line.search(body, place)) is not None:
        if begin is not None:
            yield body[begin : found.start()]
        if found[1]:
            return
        begin = found.end()
        # The line's end may be the beginning of the next boundary's.
        place = max(found.end() - 1, found.start() + 1)
    if begin is not None:
        yield body[begin:]


def decoded(value: object) -> str:
    """Return a header's value as one line of text, whatever its encoding says."""
    if value is None:
        return ""
    text = str(value)[:_LONGEST_VALUE]
    if text.count("=?") > _MOST_WORDS:
        return _plain(text)
    try:
        words = [
            word.decode(_encoding(charset or "ascii"), "replace") if isinstance(word, bytes) else word
            for word, charset in decode_header(text)
        ]
    except (ValueError, LookupError, MessageError):  # it is encoded wrongly
        return _plain(text)
    return _plain("".join(words))


def _plain(text: str) -> str:
    return one_line(text, _LONGEST_VALUE)


def text_of(part: Part) -> str:
    """Return a text part as text: decoded, its beginning only, whatever its encoding says."""
    body = content_of(part)
    try:
        text = body.decode(_encoding(parameter(part.headers, "charset") or "utf-8"), "replace")
    except (LookupError, ValueError):
        text = body.decode("utf-8", "replace")
    return cleaned(text, len(text))


def _encoding(charset: str) -> str:
    """Return the name of an encoding that mail may be in; UTF-8 in the place of any other."""
    try:
        name = codecs.lookup(charset.strip()).name
    except (LookupError, ValueError):
        return "utf-8"
    return name if _ENCODINGS.fullmatch(name) else "utf-8"


def media_type(headers: Message) -> str:
    """Return the media type that headers name."""
    try:
        return cleaned(headers.get_content_type(), 200)
    except (ValueError, LookupError, TypeError, AttributeError, MessageError):
        return "text/plain"


def parameter(headers: Message, name: str) -> str:
    """Return a parameter of Content-Type; empty where there is none, or none that can be read."""
    try:
        found = headers.get_param(name)
        return cleaned(collapse_rfc2231_value(found), 300) if found else ""
    except (ValueError, LookupError, TypeError, AttributeError, MessageError):
        return ""


def content_of(part: Part) -> bytes:
    """Return the beginning of a part's bytes without their transfer encoding."""
    body = part.body[:MAX_TEXT]
    encoding = str(part.headers.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    if encoding == "base64":
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        return base64.b64decode(letters[: len(letters) // 4 * 4])
    return body
