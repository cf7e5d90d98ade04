"""A model that waits out short rate limits and hiccups; longer ones are the ledger's to wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from hopyard.errors import RateLimited, TransientError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from hopyard_ai.agent.providers import classify

log = logging.getLogger("hopyard.task.ai")

_TRIES: Final = 5
#: A longer wait than this is not worth holding a running job for.
_LONGEST: Final = 10.0


class Patient(WrapperModel):
    """Raises the task errors of `classify`, after up to five tries for what passes by itself.

    Each call in its answers has an id that no earlier one has.
    """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        **options: Any,
    ) -> ModelResponse:
        """One request to the model."""
        for attempt in range(1, _TRIES + 1):
            try:
                answer = await super().request(messages, model_settings, model_request_parameters, **options)
                return distinct(answer, messages)
            except Exception as error:
                known = classify(error)
                if known is None:
                    raise
                wait = 0.2 * 2**attempt if getattr(known, "retry_after", None) is None else known.retry_after  # type: ignore[attr-defined]
                passing = isinstance(known, RateLimited | TransientError)
                if not passing or attempt == _TRIES or wait > _LONGEST:
                    raise known from error
                log.info("%s; again in %.1f s", known, wait)
            await asyncio.sleep(wait)
        raise TransientError("the model was not asked")


def distinct(answer: ModelResponse, messages: Sequence[ModelMessage]) -> ModelResponse:
    """Give calls whose ids an earlier answer used already ids of their own: a call is known by its id."""
    used = {p.tool_call_id for message in messages for p in message.parts if isinstance(p, ToolCallPart)}
    if not any(isinstance(part, ToolCallPart) and part.tool_call_id in used for part in answer.parts):
        return answer
    step = sum(isinstance(message, ModelResponse) for message in messages)
    parts = [
        replace(part, tool_call_id=f"{part.tool_call_id}-{step}")
        if isinstance(part, ToolCallPart) and part.tool_call_id in used
        else part
        for part in answer.parts
    ]
    return replace(answer, parts=parts)
