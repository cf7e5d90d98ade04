"""A model that waits out short rate limits and hiccups; longer ones are the ledger's to wait for."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from hopyard.errors import RateLimited, TaskError, TimeLimitExceeded, TransientError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from hopyard_ai.agent.answers import made_fit
from hopyard_ai.agent.providers import classify

log = logging.getLogger("hopyard.task.ai")

_TRIES: Final = 5
#: A longer wait than this is not worth holding a running job for.
_LONGEST: Final = 10.0
#: What unreadable answers of servers raise inside their clients.
_UNREADABLE: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)


class Fit(WrapperModel):
    """A model whose answers can be stored and acted on (see `made_fit`). `key` is masked in them."""

    def __init__(self, wrapped: Model, key: str = "") -> None:
        super().__init__(wrapped)
        self._key = key

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        **options: Any,
    ) -> ModelResponse:
        """One request to the model."""
        answer = await super().request(messages, model_settings, model_request_parameters, **options)
        fit: ModelResponse = made_fit(answer, messages, self._key)
        return fit


def fit(model: Model) -> Model:
    """Return a model whose answers can be stored and acted on."""
    return model if isinstance(model, Fit) else Fit(model)


class Patient(Fit):
    """Raises the task errors of `classify`, after up to five tries for what passes by itself.

    One request takes at most `seconds`, however slowly its answer drips in.
    """

    def __init__(self, wrapped: Model, *, key: str = "", seconds: float = 60.0) -> None:
        super().__init__(wrapped, key)
        self._seconds = seconds

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        **options: Any,
    ) -> ModelResponse:
        """One request to the model, tried again where that helps."""
        for attempt in range(1, _TRIES + 1):
            try:
                async with asyncio.timeout(self._seconds):
                    return await super().request(
                        messages, model_settings, model_request_parameters, **options
                    )
            except Exception as error:
                known = self._known(error)
                if known is None:
                    raise
                wait = max(0.2 * 2**attempt, getattr(known, "retry_after", None) or 0.0)
                passing = isinstance(known, RateLimited | TransientError)
                if not passing or attempt == _TRIES or wait > _LONGEST:
                    raise known from error
                log.info("%s; again in %.1f s", known, wait)
            await asyncio.sleep(wait)
        raise TransientError("the model was not asked")

    def _known(self, error: Exception) -> TaskError | None:
        if isinstance(error, TaskError):
            return error
        if isinstance(error, TimeoutError):
            return TimeLimitExceeded(f"the model did not answer within {self._seconds:g} s")
        if isinstance(error, _UNREADABLE):
            return TransientError(f"the model's answer cannot be read: {type(error).__name__}")
        return classify(error)
