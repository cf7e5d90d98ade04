"""Whether to act now: the model decides, and what it decides is checked."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from hopyard.errors import InvalidInput, TransientError
from pydantic import AwareDatetime, BaseModel, Field

from hopyard_ai.agent.answers import DECLINED
from hopyard_ai.agent.context import EVALUATION, Context
from hopyard_ai.agent.providers import UNUSABLE_ANSWER, classify

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

log = logging.getLogger("hopyard.task.ai")


class Decision(BaseModel):
    """What to do with a request that has fallen due."""

    action: Literal["act", "postpone", "ask"]
    until: AwareDatetime | None = Field(None, description="When to look again; only for postpone.")
    question: str | None = Field(None, description="What to ask the person; only for ask.")
    reason: str = Field("", description="Why, in one short sentence.")


async def evaluate(
    model: Model, context: Context, *, steps: int = 3, usage: RunUsage | None = None
) -> Decision:
    """Return what the model decides; no decision, or one that cannot be carried out, is an act.

    Where a server offers it the answer is bound to the decision's JSON schema: small models call no tools.
    What it costs is added to `usage`. Raises the task errors of `providers.classify` where the model cannot
    be asked.
    """
    from pydantic_ai import PromptedOutput
    from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
    from pydantic_ai.models.openai import OpenAIChatModel

    asked: tuple[Any, ...] = (Decision,)
    base = getattr(model, "wrapped", model)
    if isinstance(base, OpenAIChatModel):
        from pydantic_ai import NativeOutput

        asked = (NativeOutput(Decision), PromptedOutput(Decision))
    for n, output in enumerate(asked):
        try:
            return checked(await _decision(model, output, context, steps, usage), context.now)
        except InvalidInput as error:  # this server takes no schema, or the model declined
            if n == len(asked) - 1 or str(error) == DECLINED:
                raise
            log.info("%s; asked again without a schema", error)
        except (UnexpectedModelBehavior, UsageLimitExceeded, TransientError) as error:
            if isinstance(error, TransientError) and not str(error).startswith(UNUSABLE_ANSWER):
                raise
            break
    return Decision(action="act", until=None, question=None, reason="the model gave no decision")


async def _decision(
    model: Model, output: Any, context: Context, steps: int, usage: RunUsage | None
) -> Decision:
    from pydantic_ai import Agent
    from pydantic_ai.exceptions import ContentFilterError, UnexpectedModelBehavior, UsageLimitExceeded
    from pydantic_ai.usage import UsageLimits

    from hopyard_ai.agent.patience import fit

    agent = Agent(fit(model), output_type=output, instructions=EVALUATION)
    limits = UsageLimits(request_limit=(usage.requests if usage else 0) + steps)
    try:
        run = await agent.run(context.prompt(), usage_limits=limits, usage=usage)
    except Exception as error:
        unusable = isinstance(error, UnexpectedModelBehavior | UsageLimitExceeded)
        if unusable and not isinstance(error, ContentFilterError):
            raise
        known = classify(error)
        if known is None:
            raise
        raise known from error
    decision: Decision = run.output
    return decision


def checked(decision: Decision, now: datetime) -> Decision:
    """Return a decision that can be carried out."""
    if decision.action == "postpone" and (decision.until is None or decision.until <= now):
        return Decision(
            action="act", until=None, question=None, reason=f"nothing to wait for: {decision.reason}"
        )
    if decision.action == "ask" and not decision.question:
        return Decision(
            action="act", until=None, question=None, reason=f"nothing was asked: {decision.reason}"
        )
    return decision
