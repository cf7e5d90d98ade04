"""What tasks return."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, computed_field

State = Literal["never", "ok", "failed", "held", "reconnect", "busy"]


class Report(BaseModel):
    """What one run of a connection did, or would do (`dry_run`)."""

    connection: str
    kind: str
    state: State
    dry_run: bool = False
    added: int = 0
    changed: int = 0
    removed: int = 0
    conflicts: int = 0
    set_aside: int = 0
    requests: int = 0
    quota: dict[str, str] = {}
    """What the other side said of its limits in its last answer, by header."""
    notes: list[str] = []
    """What a person should know of it."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The run in a sentence."""
        name = self.connection
        if self.state == "busy":
            return f"{name} is being synced by another job."
        if self.state == "reconnect":
            return f"{name} needs to be reconnected: `hopyard sync reconnect {name}`."
        if self.state != "ok":
            return f"{name} was not synced: {self.notes[0] if self.notes else self.state}."
        verb = "would add" if self.dry_run else "added"
        parts = [f"{verb} {self.added}", f"change{'' if self.dry_run else 'd'} {self.changed}"]
        parts.append(f"remove{'' if self.dry_run else 'd'} {self.removed}")
        if self.conflicts:
            parts.append(f"settle{'' if self.dry_run else 'd'} {_counted(self.conflicts, 'conflict')}")
        if self.set_aside:
            parts.append(f"set {self.set_aside} aside")
        return f"{name}: {', '.join(parts)}."


class ConnectionStatus(BaseModel):
    """Where a connection stands."""

    connection: str
    kind: str
    person: str | None
    state: State
    error: str | None
    started: datetime | None
    """When its last run began."""
    succeeded: datetime | None
    """When a run last ended well."""
    rows: int
    """What is stored of it: events, records, pages or messages."""
    set_aside: int
    running: bool
    last: Report | None


class Event(BaseModel):
    """One occurrence of an event, in the zone of whoever asks.

    Of all-day events start and end are dates, and `end` is the first day after.
    """

    id: str
    calendar: str
    title: str
    start: datetime | date
    end: datetime | date
    all_day: bool
    location: str = ""
    notes: str = ""
    recurring: bool = False


class Agenda(BaseModel):
    """The events from `start` until `end`, which is not part of it, in the order of their beginnings."""

    start: datetime
    end: datetime
    zone: str
    events: list[Event]
    left_out: list[str] = []
    """Events that cannot be told, each with the reason."""
    day: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The events in a few sentences."""
        when = self.day or f"From {self.start:%A, %d %B %Y %H:%M} until {self.end:%A, %d %B %Y %H:%M}"
        more = f" {_counted(len(self.left_out), 'event')} could not be read." if self.left_out else ""
        if not self.events:
            return f"{when[:1].upper()}{when[1:]} there is nothing on the calendar.{more}"
        told = "; ".join(_told(event, self.day in _ONE_DAY) for event in self.events[:20])
        rest = f"; and {len(self.events) - 20} more" if len(self.events) > 20 else ""
        return f"{when[:1].upper()}{when[1:]}: {told}{rest}.{more}"


class EventChange(BaseModel):
    """What became of an event."""

    id: str
    calendar: str
    title: str
    done: Literal["created", "changed", "deleted", "unchanged"]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The change in a sentence."""
        return f"“{self.title}” in the calendar {self.calendar}: {self.done}."


class SetAside(BaseModel):
    """Something that could not be taken over, and why."""

    connection: str
    stream: str
    what: str
    reason: str
    content: str | None
    at: datetime


_ONE_DAY = ("today", "tomorrow", "yesterday")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _told(event: Event, one_day: bool) -> str:
    place = f" ({event.location})" if event.location else ""
    if not isinstance(event.start, datetime):
        day = "all day" if one_day else f"{event.start:%A} all day"
        return f"{day} {event.title}{place}"
    until: Any = event.end
    day = "" if one_day else f"{event.start:%A} "
    return f"{day}{event.start:%H:%M}–{until:%H:%M} {event.title}{place}"
