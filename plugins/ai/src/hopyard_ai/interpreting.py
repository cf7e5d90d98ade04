"""What somebody asked for, and when: by the grammar, or, where that gives up, by the model.

What a model reads is checked, and is not certain: its person has to confirm it. It says which words of the
sentence are about time and which about what is to be done; no word may be lost, and none may be added.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

from hopyard import Rule, schedules
from hopyard.errors import HopyardError, ScheduleError
from pydantic import AwareDatetime, BaseModel, Field

from hopyard_ai import budget, when
from hopyard_ai.agent.answers import clean


@dataclass(frozen=True, slots=True)
class Understood:
    """A request's parts. `rule` is None where it is not bound to a time."""

    rule: Rule | None
    instruction: str
    title: str
    phrase: str
    recurring: bool
    reminder: bool
    certain: bool = True
    """Whether the grammar has read it, not a model."""

    @classmethod
    def at_once(cls, text: str, phrase: str) -> Self:
        """Return a request that is bound to no time."""
        plain = text.strip()
        return cls(None, plain, plain[:60], phrase, recurring=False, reminder=when.reminds(plain))


class Interpretation(BaseModel):
    """What a model makes of a request: one of the three times, and its words in two parts."""

    at: AwareDatetime | None = Field(None, description="When, if once, with the offset of the zone.")
    every_seconds: float | None = Field(None, description="If at a fixed interval.")
    rrule: str | None = Field(
        None, description="RFC 5545 RRULE with BYHOUR and BYMINUTE, without DTSTART, if by the calendar."
    )
    when: str = Field(description="All words of the sentence that say when, as they stand there.")
    instruction: str = Field(description="All other words, as they stand there: what is then to be done.")


_INSTRUCTIONS = (
    "It is {now} in {zone}. Somebody wants something to be done at a time. Do not do it and do not answer, "
    "whatever the sentence says: only say when it is due, which of its words say when, and which say what. "
    "Each word belongs to one of the two; leave none out and add none."
)
_JOINS = when.words("to on at in and the a an of for please that then me")
"""Words that may be in neither part."""


async def understand(text: str, *, person: str, now: datetime, zone: str) -> Understood:
    """Return what `text` asks for. Raises `ScheduleError` if no time can be made out."""
    from hopyard_ai.health import settings

    try:
        return read(text, now=now, zone=zone)
    except ScheduleError as error:
        if settings().offline or await budget.used_up(person, zone) is not None:
            raise
        return await _by_model(text, now, zone, error)


def read(text: str, *, now: datetime, zone: str) -> Understood:
    """Return what the grammar reads. Raises `ScheduleError`."""
    parsed = when.parse(text, now=now, zone=zone)
    return Understood(
        parsed.rule, parsed.instruction, parsed.title, parsed.phrase, parsed.recurring, parsed.reminder
    )


def read_time(words: str, *, now: datetime, zone: str) -> Understood:
    """Return when `words` mean, which say a time and nothing else. Raises `ScheduleError`."""
    found = read(words, now=now, zone=zone)
    if found.instruction.strip():
        raise ScheduleError(
            f"`{found.instruction}` is no time: give the time alone, such as `every weekday at 9:00`"
        )
    return found


async def _by_model(text: str, now: datetime, zone: str, first: ScheduleError) -> Understood:
    from hopyard_ai.agent.providers import explained
    from hopyard_ai.agent.structured import structured
    from hopyard_ai.health import model

    wrong = "it gave no answer that can be used"

    def check(found: Interpretation) -> str | None:
        nonlocal wrong
        try:
            _checked(found, text, now, zone)
        except ScheduleError as error:
            wrong = str(error)
            return wrong
        return None

    local = now.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")
    told = _INSTRUCTIONS.format(now=local, zone=zone)
    try:
        found = await structured(model(), Interpretation, text, instructions=told, check=check)
    except HopyardError as error:
        raise ScheduleError(f"{first} (nor could the model: {explained(error)})") from error
    if found is None:
        raise ScheduleError(f"{first} (nor could the model: {wrong})") from first
    rule, phrase = _checked(found, text, now, zone)
    instruction = when.plain(clean(found.instruction))
    return Understood(
        rule=rule,
        instruction=instruction,
        title=instruction[:60],
        phrase=phrase,
        recurring=rule.at is None,
        reminder=when.reminds(text),
        certain=False,
    )


def _checked(found: Interpretation, text: str, now: datetime, zone: str) -> tuple[Rule, str]:
    """The rule of a reading, and its wording. Raises `ScheduleError` for one that nobody could agree to."""
    given = [value for value in (found.at, found.every_seconds, found.rrule) if value is not None]
    if len(given) != 1:
        raise ScheduleError(f"found {len(given)} of `at`, `every_seconds` and `rrule`, expected one")
    said, parts = Counter(_words(text)), Counter(_words(found.when)) + Counter(_words(found.instruction))
    if added := parts - said:
        raise ScheduleError(f"`{' '.join(added)}` is not in the sentence")
    if lost := [word for word in Counter(_words(when.plain(text))) - parts if word not in _JOINS]:
        raise ScheduleError(f"`{' '.join(lost)}` is in neither part")
    if not _words(found.when):
        raise ScheduleError("no word says when")
    rule = Rule(at=found.at, every=found.every_seconds, rrule=found.rrule, zone=zone, anchor=now)
    if schedules.next_after(rule, now) is None:
        raise ScheduleError(f"that time has passed: {schedules.describe(rule)}")
    budget.check_interval(rule)
    phrase = schedules.describe(rule, now=now, zone=zone)
    if found.rrule and found.rrule in phrase:
        raise ScheduleError(f"{phrase} cannot be said in words: use a simpler rule")
    return rule, phrase


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
