"""Whether to act now: the model decides, and what it decides is checked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, Field

from hopyard_ai.agent.context import EVALUATION, Context
from hopyard_ai.agent.structured import structured

if TYPE_CHECKING:
    from pydantic_ai.models import Model


class Decision(BaseModel):
    """What to do with a request that has fallen due."""

    action: Literal["act", "postpone", "ask"]
    until: AwareDatetime | None = Field(None, description="When to look again; only for postpone.")
    question: str | None = Field(None, description="What to ask the person; only for ask.")
    reason: str = Field("", description="Why, in one short sentence.")


async def evaluate(model: Model, context: Context, *, steps: int = 3) -> Decision:
    """Return what the model decides; no decision, or one that cannot be carried out, is an act.

    What it takes is metered, and it raises, as `structured`.
    """
    decision = await structured(model, Decision, context.prompt(), instructions=EVALUATION, steps=steps)
    if decision is None:
        return Decision(action="act", until=None, question=None, reason="the model gave no decision")
    return checked(decision, context.now)


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
