"""What a person is told of a sentence whose time cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from hopyard.errors import ScheduleError

from hopyard_ai.when._tokens import Tokens

EXAMPLES = ("in 20 minutes", "tomorrow at 9:00", "every weekday at 8:00")


def unclear(why: str, text: str) -> ScheduleError:
    """The error for a sentence whose time cannot be told, with phrasings that work."""
    shown = text.strip() if len(text.strip()) <= 80 else f"{text.strip()[:77]}…"
    examples = ", ".join(f"`{example}`" for example in EXAMPLES)
    return ScheduleError(f"{why} in `{shown}`; say it, for example, as {examples}")


def said(text: str, tokens: Tokens, spans: Sequence[tuple[int, int]]) -> str:
    return " … ".join(text[tokens[first].start : tokens[end - 1].end] for first, end in sorted(spans))


def left_over(text: str, tokens: Tokens, first: int, end: int) -> ScheduleError:
    around = text[tokens[max(first - 1, 0)].start : tokens[min(end, len(tokens) - 1)].end]
    return unclear(f"`{around.strip()}` speaks of time and was not understood,", text)
