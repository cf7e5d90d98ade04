"""Whether to act now: the model decides, and what it decides is checked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, Field

from hopyard_ai.agent.context import EVALUATION, Context
from hopyard_ai.agent.providers import classify

if TYPE_CHECKING:
    from pydantic_ai.models import Model


class Decision(BaseModel):
    """What to do with a request that has fallen due."""

    action: Literal["act", "postpone", "ask"]
    until: AwareDatetime | None = Field(None, description="When to look again; only for postpone.")
    question: str | None = Field(None, description="What to ask the person; only for ask.")
    reason: str = Field("", description="Why, in one short sentence.")


async def evaluate(model: Model, context: Context, *, steps: int = 3) -> Decision:
    """Return what the model decides; a postponement into the past, or without a time, is an act.

    Raises the task errors of `providers.classify`.
    """
    from pydantic_ai import Agent
    from pydantic_ai.usage import UsageLimits

    agent = Agent(model, output_type=Decision, instructions=EVALUATION)
    try:
        run = await agent.run(context.prompt(), usage_limits=UsageLimits(request_limit=steps))
    except Exception as error:
        known = classify(error)
        if known is None:
            raise
        raise known from error
    return checked(run.output, context.now)


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
