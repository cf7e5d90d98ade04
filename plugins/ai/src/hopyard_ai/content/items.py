"""The items of tasks that take many texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from hopyard.errors import InvalidInput

from hopyard_ai.agent.answers import clean
from hopyard_ai.content.values import Item

_MOST: Final = 10_000


def named(items: Sequence[str | Item]) -> list[Item]:
    """Return items with keys: a bare text's is made from the text, so that it is the same next time.

    The same text given twice without a key is one item. Raises `InvalidInput` for none, too many, and for
    keys that stand for two texts.
    """
    if not 1 <= len(items) <= _MOST:
        raise InvalidInput(f"found {len(items):,} items, expected 1 to {_MOST:,}")
    found: dict[str, Item] = {}
    for given in items:
        text = clean(given if isinstance(given, str) else given.text)
        key = digest(text)[:32] if isinstance(given, str) else clean(given.key)
        if not key:
            raise InvalidInput(f"the key of the item {text[:60]!r}: found only NUL, expected text")
        item = Item(key=key, text=text, meta={} if isinstance(given, str) else given.meta)
        if found.setdefault(key, item) != item:
            raise InvalidInput(f"the key {key[:80]!r} is given for two different items")
    return [*found.values()]


def digest(text: str) -> str:
    """Return what stands for a text: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
