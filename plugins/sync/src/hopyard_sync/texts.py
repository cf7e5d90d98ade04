"""Text of other sides, as both databases can store it."""

from __future__ import annotations

__all__ = ["storable"]


def storable(text: str) -> str:
    """Return text without NUL, and without halves of characters, which no encoding has."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
