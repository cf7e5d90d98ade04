"""Labels as callers give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hopyard.errors import InvalidInput

_LONGEST: Final = 200
_MOST: Final = 500


def check_labels(labels: Sequence[str], *, longest: int = _LONGEST) -> None:
    """Raise `InvalidInput` for labels that are none, too many, too long, or not each once."""
    if not labels or len({label.casefold() for label in labels}) < len(labels):
        raise InvalidInput(f"expected labels, each once, found {list(labels)[:20]}")
    if len(labels) > _MOST:
        raise InvalidInput(f"expected at most {_MOST} labels, found {len(labels)}")
    for label in labels:
        if not label.strip() or len(label) > longest or not label.isprintable() or "`" in label:
            raise InvalidInput(
                f"the label {label[:60]!r}: expected 1 to {longest} printable characters, no ` among them"
            )


def quoted(labels: Sequence[str]) -> str:
    """Return labels as a model is shown them: between quotes that they cannot have themselves."""
    return ", ".join(f"`{one}`" for one in labels)
