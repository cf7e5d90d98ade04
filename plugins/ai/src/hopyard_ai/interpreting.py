"""What somebody asked for, and when: by the grammar, or, where that gives up, by the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from hopyard import Rule, schedules
from hopyard.errors import HopyardError, ScheduleError
from pydantic import AwareDatetime, BaseModel, Field

from hopyard_ai import when
from hopyard_ai.agent.providers import OFFLINE


@dataclass(frozen=True, slots=True)
class Understood:
    """A request's parts. `rule` is None where it is not bound to a time."""

    rule: Rule | None
    instruction: str
    title: str
    phrase: str
    recurring: bool
    reminder: bool

    @classmethod
    def at_once(cls, text: str, phrase: str) -> Self:
        """Return a request that is bound to no time."""
        clean = text.strip()
        return cls(None, clean, clean[:60], phrase, recurring=False, reminder=when.reminds(clean))


class Interpretation(BaseModel):
    """What a model makes of a request: exactly one of the three times, and what is to be done then."""

    at: AwareDatetime | None = Field(None, description="When, if once.")
    every_seconds: float | None = Field(None, description="If at a fixed interval.")
    rrule: str | None = Field(None, description="RFC 5545 RRULE without DTSTART, if by the calendar.")
    instruction: str = Field(description="What is to be done, without the time.")


async def understand(text: str, *, now: datetime, zone: str) -> Understood:
    """Return what `text` asks for. Raises `ScheduleError` if no time can be made out."""
    try:
        parsed = when.parse(text, now=now, zone=zone)
    except ScheduleError as error:
        from hopyard_ai.health import settings

        if settings().model == OFFLINE:
            raise
        return await _by_model(text, now, zone, error)
    return Understood(
        parsed.rule, parsed.instruction, parsed.title, parsed.phrase, parsed.recurring, parsed.reminder
    )


async def understand_time(words: str, *, now: datetime, zone: str) -> Understood:
    """Return when `words` mean, which say a time and nothing else. Raises as `understand`."""
    found = await understand(words, now=now, zone=zone)
    if found.instruction.strip():
        raise ScheduleError(
            f"`{found.instruction}` is no time: give the time alone, such as `every weekday at 9:00`"
        )
    return found


async def _by_model(text: str, now: datetime, zone: str, first: ScheduleError) -> Understood:
    from zoneinfo import ZoneInfo

    from pydantic_ai import Agent
    from pydantic_ai.usage import UsageLimits

    from hopyard_ai.agent.providers import classify
    from hopyard_ai.health import model

    local = now.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")
    told = f"It is {local} in {zone}. Say when this request is due, and what is then to be done."
    agent = Agent(model(), output_type=Interpretation, instructions=told)
    try:
        found = (await agent.run(text, usage_limits=UsageLimits(request_limit=3))).output
    except Exception as error:
        known = error if isinstance(error, HopyardError) else classify(error)
        if known is None:
            raise
        raise ScheduleError(f"{first} (nor could the model: {known})") from known
    given = [value for value in (found.at, found.every_seconds, found.rrule) if value is not None]
    if len(given) != 1:
        raise first
    rule = Rule(at=found.at, every=found.every_seconds, rrule=found.rrule, zone=zone, anchor=now)
    if schedules.next_after(rule, now) is None:
        raise ScheduleError(f"that time has passed: {schedules.describe(rule)}")
    return Understood(
        rule,
        found.instruction,
        found.instruction[:60],
        schedules.describe(rule),
        recurring=found.at is None,
        reminder=when.reminds(text),
    )
