"""The sandbox that templates run in: Jinja2's, which refuses what would fill the memory, too."""

from __future__ import annotations

from typing import Any, Final

from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

#: Characters, items, or bits of a number that one operation may make.
MOST: Final = 2_000_000
_WIDENING: Final = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
_WIDENING_FILTERS: Final = ("center", "format", "indent")


class GuardedEnvironment(ImmutableSandboxedEnvironment):
    """Multiplied texts, large powers, and formats with a width are refused before they are made."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in _WIDENING_FILTERS:
            del self.filters[name]
        del self.globals["lipsum"]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Run an operator. Raises `SecurityError` where its result would be too large."""
        size = 0
        if operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("texts are put together with `~`, not formatted with `%`")
        if operator == "*":
            size = _size(left) * _times(right) or _size(right) * _times(left)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            size = left.bit_length() * abs(right)
        if size > MOST:
            raise SecurityError(f"one operation would make more than {MOST:,} characters, items or bits")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Say whether a template may use an attribute: no method that widens texts."""
        widens = isinstance(obj, str | bytes) and attr in _WIDENING
        return not widens and super().is_safe_attribute(obj, attr, value)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _times(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 0
