"""How large the parts of a job's result are, in bytes of JSON: there is a limit to what a job carries."""

from __future__ import annotations

import json
from typing import Any, Final

#: Of all entries of a result: a job carries a million bytes, and something is written around them.
LONGEST_RESULT: Final = 900_000


def size(value: Any) -> int:
    """Return how many bytes a value has at most in a result."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def beginning(text: str, most: int) -> str:
    """Return as much of a text as has at most so many bytes in a result: a character has one to six."""
    text = text[:most]
    while (over := size(text) - most) > 0:
        text = text[: -max(1, over // 6)]
    return text
