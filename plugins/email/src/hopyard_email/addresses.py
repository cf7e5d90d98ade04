"""Addresses and header texts: checked before they come near a header or an SMTP command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hopyard.errors import InvalidInput

MAX_HEADER: Final = 2_000
#: What ends a header or a command, or is seen by some servers as doing so.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
#: Text in the form in which it travels (RFC 2047): decoded on its way, it could have a line break in it.
_ENCODED: Final = re.compile(r"=\?[^?\s]*\?[bBqQ]\?")
_NAMED: Final = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^<>"@,;:]*))\s*<([^<>\s]+)>')
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,75}")


@dataclass(frozen=True, slots=True)
class Address:
    """A mail address: the name beside it, the part before the `@`, and the domain in ASCII."""

    name: str
    local: str
    domain: str

    @property
    def plain(self) -> str:
        """The address as it is used in commands."""
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """The form by which it is compared: capitals do not matter."""
        return self.plain.lower()

    @property
    def written(self) -> str:
        """The address with its name, as people write it."""
        if not self.name:
            return self.plain
        quoted = re.sub(r'([\\"])', r"\\\1", self.name)
        return f'"{quoted}" <{self.plain}>'

    @property
    def needs_utf8(self) -> bool:
        """Whether only a server with SMTPUTF8 takes it."""
        return not self.local.isascii()


def parse_address(text: str, what: str) -> Address:
    """Return the address that `text` is, as `ada@example.org` or `Ada <ada@example.org>`.

    DNS is not asked. Raises `InvalidInput`, which names `what`.
    """
    from email_validator import EmailNotValidError, validate_email

    shown = check_text(text, what).strip()
    named = _NAMED.fullmatch(shown)
    name = re.sub(r"\\(.)", r"\1", named[1] or named[2] or "").strip() if named else ""
    plain = named[3] if named else shown
    try:
        found = validate_email(
            plain,
            check_deliverability=False,
            allow_smtputf8=True,
            test_environment=True,
            globally_deliverable=False,
        )
    except EmailNotValidError as error:
        raise InvalidInput(
            f"{what}: found {text[:100]!r}, expected an address such as ada@example.org: {error}"
        ) from None
    return Address(name, found.local_part, (found.ascii_domain or found.domain).lower())


def check_text(text: str, what: str, longest: int = MAX_HEADER) -> str:
    """Return a text that may stand in a header: one line, without NUL, other controls and encoded words.

    Raises `InvalidInput`, which names `what`.
    """
    found = _CONTROLS.search(text)
    if found is not None:
        raise InvalidInput(
            f"{what}: found the character U+{ord(found[0]):04X} at place {found.start()}, expected one line "
            "of text: a line break or control character could add headers or commands"
        )
    if _ENCODED.search(text):
        raise InvalidInput(f"{what}: found text that is encoded already (=?…), expected the text itself")
    if len(text) > longest:
        raise InvalidInput(f"{what}: found {len(text):,} characters, expected at most {longest:,}")
    return text


def check_header_name(name: str) -> str:
    """Return a header's name. Raises `InvalidInput`."""
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidInput(
            f"headers: found the name {name[:80]!r}, expected letters, digits, `-` and `_`, at most 76"
        )
    return name


def fits(pattern: str, text: str) -> bool:
    """Say whether a text fits a pattern with `*` and `?`; capitals do not matter.

    Takes time in proportion to both lengths together at worst as their product, never more.
    """
    pattern, text = pattern.lower(), text.lower()
    p = t = mark = 0
    star = -1
    while t < len(text):
        if p < len(pattern) and pattern[p] == "*":
            star, mark, p = p, t, p + 1
        elif p < len(pattern) and pattern[p] in ("?", text[t]):
            p, t = p + 1, t + 1
        elif star >= 0:
            mark += 1
            p, t = star + 1, mark
        else:
            return False
    return all(letter == "*" for letter in pattern[p:])
