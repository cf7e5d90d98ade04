"""A model that waits out short rate limits and hiccups; longer ones are the ledger's to wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from hopyard.errors import RateLimited, TaskError, TimeLimitExceeded, TransientError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from hopyard_ai.agent import metering
from hopyard_ai.agent.answers import UnusableAnswer, made_fit
from hopyard_ai.agent.gate import Gate
from hopyard_ai.agent.providers import classify

log = logging.getLogger("hopyard.task.ai")

T = TypeVar("T")
_TRIES: Final = 5
#: A longer wait than this is not worth holding a running job for.
_LONGEST: Final = 10.0
#: What unreadable answers of servers raise inside their clients.
_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


class Fit(WrapperModel):
    """A model whose answers can be stored and acted on (see `made_fit`). `key` is masked in them.

    What each took is noted under the model's `name` (see `metering`), before it is known to be of use.
    """

    def __init__(self, wrapped: Model, key: str = "", name: str = "") -> None:
        super().__init__(wrapped)
        self._key = key
        self._name = name

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        **options: Any,
    ) -> ModelResponse:
        """One request to the model."""
        noted = len(metering.meter.get() or ())
        given = await super().request(messages, model_settings, model_request_parameters, **options)
        answer = metering.measured(given, messages)
        if len(metering.meter.get() or ()) == noted:  # else the model within, one of a chain, has noted it
            metering.note(answer, self._name)
        fit: ModelResponse = made_fit(answer, messages, self._key)
        return fit


def fit(model: Model) -> Model:
    """Return a model whose answers can be stored and acted on."""
    return model if isinstance(model, Fit) else Fit(model)


class Patient(Fit):
    """Asks as `patiently` does. One request takes at most `seconds`, however slowly its answer drips in."""

    def __init__(
        self, wrapped: Model, *, key: str = "", seconds: float = 60.0, gate: Gate | None = None
    ) -> None:
        super().__init__(wrapped, key, gate.name if gate else "")
        self._seconds = seconds
        self._gate = gate

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        **options: Any,
    ) -> ModelResponse:
        """One request to the model, tried again where that helps."""
        once = super().request
        answer: ModelResponse = await patiently(
            lambda: once(messages, model_settings, model_request_parameters, **options),
            seconds=self._seconds,
            gate=self._gate,
        )
        if self._gate is not None:
            await self._gate.used(answer.usage.total_tokens)
        return answer


async def patiently(once: Callable[[], Awaitable[T]], *, seconds: float, gate: Gate | None = None) -> T:
    """Return what a request to a model's server comes to, after up to five tries for what passes by itself.

    Each try takes at most `seconds`, and waits for its turn at the gate; all who come to the gate wait as
    long as the server asks one to. Raises the task errors of `classify`.
    """
    for attempt in range(1, _TRIES + 1):
        if gate is not None:
            await gate.enter()
        try:
            async with asyncio.timeout(seconds):
                return await once()
        except Exception as error:
            known = _known(error, seconds)
            if known is None:
                raise
            after = getattr(known, "retry_after", None)
            if gate is not None and after:
                await gate.close(after)
            wait = max(0.2 * 2**attempt, after or 0.0)
            passing = isinstance(known, RateLimited | TransientError)
            if not passing or attempt == _TRIES or wait > _LONGEST:
                raise known from error
            log.info("%s; again in %.1f s", known, wait)
        await asyncio.sleep(wait)
    raise TransientError("the model was not asked")


def _known(error: Exception, seconds: float) -> TaskError | None:
    if isinstance(error, TaskError):
        return error
    if isinstance(error, TimeoutError):
        return TimeLimitExceeded(f"the model did not answer within {seconds:g} s")
    if isinstance(error, _UNREADABLE):
        return UnusableAnswer(f"the model's answer cannot be read: {type(error).__name__}")
    return classify(error)
