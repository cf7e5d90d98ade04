"""Labels as callers give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hopyard.errors import InvalidInput

_LONGEST: Final = 200
_MOST: Final = 500


def check_labels(labels: Sequence[str]) -> None:
    """Raise `InvalidInput` for labels that are none, too many, or not each once."""
    if not labels or len({label.casefold() for label in labels}) < len(labels):
        raise InvalidInput(f"expected labels, each once, found {list(labels)[:20]}")
    if len(labels) > _MOST:
        raise InvalidInput(f"expected at most {_MOST} labels, found {len(labels)}")
    for label in labels:
        if not label.strip() or len(label) > _LONGEST or not label.isprintable():
            raise InvalidInput(f"the label {label[:60]!r}: expected 1 to {_LONGEST} printable characters")
