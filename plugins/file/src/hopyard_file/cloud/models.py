"""What the tasks of cloud connections return."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

__all__ = ["CloudReport", "CloudStatus", "SetAside", "State"]

State = Literal["never", "ok", "failed", "held", "busy"]


class _Model(BaseModel):
    """Built when it is first used: importing the plugin stays cheap."""

    model_config = ConfigDict(defer_build=True)


class SetAside(_Model):
    """A file that is no part of the sync, or failed, and why."""

    path: str
    reason: str


class CloudReport(_Model):
    """What the sync of a connection did."""

    connection: str
    state: State = "ok"
    dry_run: bool = False
    anew: bool = False
    """The settings lead to other sides than at the last sync: nothing was deleted, and both versions kept."""
    uploaded: int = 0
    downloaded: int = 0
    deleted_here: int = 0
    deleted_there: int = 0
    conflicts: int = 0
    unchanged: int = 0
    left: int = 0
    """Differences that would have to travel the other way."""
    bytes: int = 0
    set_aside: int = 0
    failed: int = 0
    notes: list[str] = Field(default_factory=list)
    """What was planned, in a dry run; what failed; the first hundred."""

    @computed_field
    def summary(self) -> str:
        """One line for people."""
        if self.state == "busy":
            return f"{self.connection}: another job is syncing it"
        if self.state in ("failed", "held"):
            return f"{self.connection}: {self.state}" + (f": {self.notes[0]}" if self.notes else "")
        parts = (
            (self.uploaded, "uploaded"),
            (self.downloaded, "downloaded"),
            (self.deleted_here, "deleted here"),
            (self.deleted_there, "deleted there"),
            (self.conflicts, "conflicts"),
            (self.failed, "failed"),
            (self.set_aside, "set aside"),
        )
        told = ", ".join(f"{number:,} {word}" for number, word in parts if number) or "nothing to do"
        word = "would be synced" if self.dry_run else "is synced"
        word += " anew, since its root or remote is another now" if self.anew else ""
        return f"{self.connection} {word}: {told}; {self.unchanged:,} unchanged, {self.bytes / 1e6:,.1f} MB"


class CloudStatus(_Model):
    """Where a connection stands."""

    connection: str
    kind: str
    direction: str
    person: str | None
    enabled: bool
    state: State
    running: bool
    error: str | None
    started: datetime | None
    succeeded: datetime | None
    files: int
    set_aside: int
    last: CloudReport | None
