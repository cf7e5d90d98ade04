"""Answers of a model that have a given form, or are text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hopyard.errors import InvalidInput
from pydantic import BaseModel

from hopyard_ai.agent.answers import DECLINED, UnusableAnswer
from hopyard_ai.agent.providers import classify

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models import Model

log = logging.getLogger("hopyard.task.ai")
Form = TypeVar("Form", bound=BaseModel)


async def structured(
    model: Model,
    form: type[Form],
    prompt: str,
    *,
    instructions: str,
    steps: int = 3,
    check: Callable[[Form], str | None] | None = None,
) -> Form | None:
    """Return what the model answers as a `form`; None where it gives no such answer in `steps` requests.

    Where a server offers it the answer is bound to the form's JSON schema: small models call no tools.
    `check` says what is wrong with an answer, which the model is told. What all its answers take is metered
    (`metering.metered`). Raises the task errors of `providers.classify` where the model cannot be asked.
    """
    from pydantic_ai import NativeOutput, PromptedOutput
    from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded

    asked: tuple[Any, ...] = (form,)
    if _takes_schemas(model):
        asked = (NativeOutput(form), PromptedOutput(form))
    for n, output in enumerate(asked):
        try:
            return await _answer(model, output, prompt, instructions, steps, check)
        except InvalidInput as error:  # this server takes no schema, or the model declined
            if n == len(asked) - 1 or str(error) == DECLINED:
                raise
            log.info("%s; asked again without a schema", error)
        except (UnexpectedModelBehavior, UsageLimitExceeded, UnusableAnswer):
            break
    return None


def _takes_schemas(model: Model) -> bool:
    """Whether answers can be bound to a schema: of a chain, those of each of its models."""
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel

    bare = getattr(model, "wrapped", model)
    if isinstance(bare, FallbackModel):
        return all(_takes_schemas(one) for one in bare.models)
    return isinstance(bare, OpenAIChatModel)


async def _answer(
    model: Model,
    output: Any,
    prompt: str,
    instructions: str,
    steps: int,
    check: Callable[[Form], str | None] | None,
) -> Form:
    from pydantic_ai import Agent, ModelRetry

    from hopyard_ai.agent.patience import fit

    agent = Agent(fit(model), output_type=output, instructions=instructions, retries=steps)

    @agent.output_validator
    def checked(answer: Form) -> Form:
        wrong = check(answer) if check is not None else None
        if wrong is not None:
            raise ModelRetry(wrong)
        return answer

    found: Form = await _run(agent, prompt, steps)
    return found


async def written(model: Model, prompt: str, *, instructions: str, steps: int = 3) -> str:
    """Return what a model answers as text, which any model can.

    What it takes is metered, as of `structured`. Raises the task errors of `providers.classify`.
    """
    from pydantic_ai import Agent

    from hopyard_ai.agent.patience import fit

    agent = Agent(fit(model), instructions=instructions, retries=steps)
    try:
        return str(await _run(agent, prompt, steps)).strip()
    except Exception as error:
        known = classify(error)
        if known is None:
            raise
        raise known from error


async def _run(agent: Agent[None, Any], prompt: str, steps: int) -> Any:
    from pydantic_ai.exceptions import ContentFilterError, UnexpectedModelBehavior, UsageLimitExceeded
    from pydantic_ai.usage import UsageLimits

    try:
        return (await agent.run(prompt, usage_limits=UsageLimits(request_limit=steps))).output
    except Exception as error:
        unusable = isinstance(error, UnexpectedModelBehavior | UsageLimitExceeded)
        if unusable and not isinstance(error, ContentFilterError):
            raise
        known = classify(error)
        if known is None:
            raise
        raise known from error
