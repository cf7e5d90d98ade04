"""What each answer of a model takes, for whoever pays: of answers that cannot be used as well.

Servers say nothing of it, or anything: what is counted here can be stored and is never below zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hopyard_ai.content.texts import tokens

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse

#: No request takes more tokens: what a server says beyond that is a mistake.
_MOST: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What one answer took. `model` is empty for one without a name of its own; `cost` in US dollars."""

    model: str
    told: int
    answered: int
    cost: float | None


#: Where answers are noted, for who wants to know what they took; None where nobody does.
meter: ContextVar[list[Taken] | None] = ContextVar("hopyard_ai_meter", default=None)


@contextmanager
def metered() -> Iterator[list[Taken]]:
    """Inside, what each answer takes is put into the list: of answers that cannot be used as well."""
    taken = list[Taken]()
    token = meter.set(taken)
    try:
        yield taken
    finally:
        meter.reset(token)


def bounded(count: int) -> int:
    """Return a number of tokens as it can be stored."""
    return min(max(count, 0), _MOST)


def measured(answer: ModelResponse, messages: Sequence[ModelMessage]) -> ModelResponse:
    """Return an answer whose tokens can be counted on; where its server speaks of none they are estimated.

    Otherwise the limits of people would never be reached by a model that does not count.
    """
    used = answer.usage
    told = bounded(used.input_tokens) or sum(_size(one) for one in messages)
    answered = bounded(used.output_tokens) or _size(answer)
    if (told, answered) == (used.input_tokens, used.output_tokens):
        return answer
    return replace(answer, usage=replace(used, input_tokens=told, output_tokens=answered))


def _size(message: Any) -> int:
    shown = [
        str(getattr(part, "content", None) or getattr(part, "args", None) or "") for part in message.parts
    ]
    return sum(tokens(text) for text in [*shown, getattr(message, "instructions", None) or ""])


def note(answer: ModelResponse, model: str) -> None:
    """Note what an answer took, if anybody wants to know."""
    if (taken := meter.get()) is not None:
        used = answer.usage
        taken.append(Taken(model, used.input_tokens, used.output_tokens, price(answer)))


def price(answer: Any) -> float | None:
    """Return the US dollars of an answer, or of vectors; None where nobody knows them."""
    try:
        return float(answer.cost().total_price)
    except (LookupError, ValueError, AssertionError):  # a model without known prices, an answer without usage
        return None
