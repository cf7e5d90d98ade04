"""What the tasks of backups return."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

__all__ = ["BackupReport", "Note", "PruneReport", "RestoreReport", "SnapshotLine", "VerifyReport"]


class _Model(BaseModel):
    """Built when it is first used: importing the plugin stays cheap."""

    model_config = ConfigDict(defer_build=True)


class Note(_Model):
    """A file, and what was the matter with it."""

    path: str
    what: str


class BackupReport(_Model):
    """What the backup of a source did."""

    source: str
    repository: str
    state: Literal["ok", "failed", "damaged"] = "ok"
    """`damaged`: the snapshot was made, and reading back found that the repository is not whole."""
    dry_run: bool = False
    snapshot: str | None = None
    files: int = 0
    bytes: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    read_bytes: int = 0
    stored_bytes: int = 0
    left_out: int = 0
    notes: list[Note] = Field(default_factory=list)
    """Files that were left out, or changed while they were read: the first fifty."""
    seconds: float = 0.0
    verified_packs: int = 0
    error: str | None = None

    @computed_field
    def summary(self) -> str:
        """One line for people."""
        if self.error is not None:
            return f"{self.source}: {self.error}"
        told = f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB: {self.new:,} new, {self.changed:,} changed"
        told += f", {self.gone:,} gone" if self.gone else ""
        if self.dry_run:
            return f"{self.source} would be backed up: {told}; {self.read_bytes / 1e6:,.1f} MB to be read"
        told += f"; {self.stored_bytes / 1e6:,.1f} MB stored in {self.seconds:,.1f} s"
        return f"{self.source} is backed up as {self.snapshot}: {told}" + (
            f"; {self.left_out:,} left out" if self.left_out else ""
        )


class SnapshotLine(_Model):
    """A snapshot as it is listed."""

    id: str
    source: str
    host: str
    started: datetime
    files: int
    bytes: int
    stored: int | None
    left_out: int
    error: str | None = None
    """Why the snapshot cannot be read: then nobody knows its source, and `started` is from its name."""


class DamageLine(_Model):
    """A file of a snapshot that cannot be restored whole."""

    snapshot: str
    source: str
    path: str
    reason: str


class VerifyReport(_Model):
    """What reading a repository back found."""

    repository: str
    ok: bool
    packs: int = 0
    all_packs: int = 0
    bytes: int = 0
    snapshots: int = 0
    damaged_files: int = 0
    damaged_snapshots: list[str] = Field(default_factory=list)
    damage: list[DamageLine] = Field(default_factory=list)
    """The first hundred, as `wrong`."""
    wrong: list[str] = Field(default_factory=list)

    @computed_field
    def summary(self) -> str:
        """One line for people."""
        told = (
            f"{self.packs} of {self.all_packs} packs, {self.bytes / 1e6:,.1f} MB, {self.snapshots} snapshots"
        )
        if self.ok:
            return f"{self.repository} is whole, as far as was read: {told}"
        return (
            f"{self.repository} is damaged: {self.damaged_files:,} files in {len(self.damaged_snapshots)} "
            f"snapshots cannot be restored, {len(self.wrong)} objects are wrong ({told})"
        )


class PruneReport(_Model):
    """What was removed from a repository."""

    repository: str
    dry_run: bool = False
    kept: dict[str, list[str]] = Field(default_factory=dict)
    """Those that stay, with the reasons: the latest two hundred."""
    kept_count: int = 0
    removed: list[str] = Field(default_factory=list)
    """The latest two hundred."""
    removed_count: int = 0
    packs_removed: int = 0
    packs_rewritten: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    note: str = ""

    @computed_field
    def summary(self) -> str:
        """One line for people."""
        word = "would be removed" if self.dry_run else "removed"
        told = (
            f"{self.repository}: {self.removed_count:,} snapshots {word}, {self.kept_count:,} stay; "
            f"{(self.bytes_before - self.bytes_after) / 1e6:,.1f} MB freed"
        )
        return f"{told}; {self.note}" if self.note else told


class RestoreReport(_Model):
    """What was restored."""

    source: str
    snapshot: str
    started: datetime
    """When the snapshot that was used was begun."""
    target: str
    dry_run: bool = False
    files: int = 0
    bytes: int = 0
    folders: int = 0
    links: int = 0
    already: int = 0
    kept: int = 0
    failed: int = 0
    notes: list[Note] = Field(default_factory=list)

    @computed_field
    def summary(self) -> str:
        """One line for people."""
        word = "would be restored" if self.dry_run else "restored"
        told = f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB, {self.links:,} links {word}"
        told += f" into {self.target}, from {self.source} as of {self.started:%Y-%m-%d %H:%M} UTC"
        told += f" (snapshot {self.snapshot})"
        extra = (
            (self.already, "were there already"),
            (self.kept, "were there with another content and were left alone"),
            (self.failed, "failed"),
        )
        return "; ".join([told, *(f"{number:,} {words}" for number, words in extra if number)])
