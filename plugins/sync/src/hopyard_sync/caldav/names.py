"""Names of resources: paths in one way of escaping, and file names for UIDs."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, unquote_to_bytes, urlsplit


def file_name(uid: str, attempt: int) -> str:
    """Return the name of a new resource; a digest of UIDs that make no good name, or whose name is taken."""
    plain = "".join(letter for letter in uid if letter.isalnum() or letter in "-_.@")
    if attempt == 0 and plain == uid and 0 < len(uid) <= 100 and not uid.startswith(".") and uid.isascii():
        return f"{uid}.ics"
    told = f"{uid}\n{attempt}" if attempt else uid
    return f"{hashlib.sha256(told.encode(errors='replace')).hexdigest()}.ics"


def path_of(url: str) -> str:
    """Return the path of an address in one way of escaping, whatever way the server chose.

    Each part is escaped by itself: a slash that is escaped belongs to a name.
    """
    parts = (urlsplit(url).path or "/").split("/")
    return "/".join(quote(unquote_to_bytes(part), safe="@:+,;=$!*'()&~") for part in parts)
