"""What the tasks return. Each result has a `summary`: what it says in a sentence or two."""

from __future__ import annotations

from datetime import datetime

from hopyard.cleaning import Cleaned
from pydantic import BaseModel, computed_field


class Check(BaseModel):
    """One check's answer; `seconds` is how long it took."""

    plugin: str
    name: str
    ok: bool
    detail: str
    seconds: float


class HealthReport(BaseModel):
    """All checks; `ok` only if each is."""

    reference: str
    """A short code of this report, to be quoted with it."""
    ok: bool
    checks: list[Check]
    checked_at: datetime
    changed: list[str] = []
    """Names of the checks that are otherwise than last time."""
    flapping: list[str] = []
    """Names of the checks that change so often that people hear no more of each change."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The report in a sentence."""
        wrong = [f"{one.plugin}.{one.name} ({one.detail})" for one in self.checks if not one.ok]
        if not wrong:
            return f"All {len(self.checks)} health checks are in order."
        return f"{len(wrong)} of {len(self.checks)} health checks fail: {', '.join(wrong)}."


class Disk(BaseModel):
    """One file system, sizes in bytes."""

    path: str
    total: int
    used: int
    free: int
    percent: float
    problem: str | None = None
    """Why it could not be measured; the numbers are 0 then."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The disk in a sentence."""
        if self.problem is not None:
            return f"The disk {self.path} cannot be measured: {self.problem}."
        return (
            f"The disk {self.path} is {self.percent:g} % full: {_gigabytes(self.used)} GB used, "
            f"{_gigabytes(self.free)} GB free."
        )


class ResourceUsage(BaseModel):
    """The machine and the queues at one moment. `load` is the average over a minute.

    Where a control group allows less than the machine has, CPU and memory are of what it allows.
    """

    reference: str
    """A short code of this sample, to be quoted with it."""
    at: datetime
    host: str = ""
    cpu_percent: float
    cpu_count: int
    load: float
    memory_total: int
    memory_used: int
    memory_percent: float
    limited: bool = False
    """Whether a control group allows less than the machine has."""
    disks: list[Disk]
    queues: dict[str, int]
    """Live jobs by queue."""
    warnings: list[str]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The machine in a sentence or two."""
        disks = "".join(f", the disk {disk.path} is {disk.percent:g} % full" for disk in self.disks)
        return (
            f"CPU is at {self.cpu_percent:g} %, memory at {self.memory_percent:g} % "
            f"({_gigabytes(self.memory_used)} of {_gigabytes(self.memory_total)} GB){disks}."
        )


class TableUpkeep(BaseModel):
    """What was done to a table, or would be; sizes in bytes, with indexes."""

    table: str
    done: list[str]
    """`vacuum`, `analyze`."""
    bytes_before: int = 0
    bytes_after: int = 0
    dead_before: int
    dead_after: int
    seconds: float = 0.0
    problem: str | None = None


class IndexUpkeep(BaseModel):
    """An index that was built anew, or a left-over of that which was removed; sizes in bytes."""

    index: str
    table: str
    done: str
    bytes_before: int
    bytes_after: int
    problem: str | None = None


class OptimizeReport(BaseModel):
    """The database before and after; sizes in bytes."""

    database: str
    dry_run: bool
    bytes_before: int
    bytes_after: int
    tables: list[TableUpkeep] = []
    indexes: list[IndexUpkeep] = []
    done: list[str] = []
    """What was done to the database as a whole."""
    left: list[str] = []
    """What was not done, and why."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gained(self) -> int:
        """Bytes that the database is smaller by."""
        return self.bytes_before - self.bytes_after

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The report in a sentence or two."""
        problems = [one.problem for one in self.tables] + [one.problem for one in self.indexes]
        failed = sum(problem is not None for problem in problems)
        steps = len(self.done) + len(self.tables) + len(self.indexes)
        what = "would be done" if self.dry_run else "was done" if steps == 1 else "were done"
        told = f"{steps} {'thing' if steps == 1 else 'things'} {what} to the database ({self.database})"
        if not self.dry_run:
            told += (
                f"; it has {_megabytes(self.bytes_after)} MB, {_megabytes(self.gained)} MB less than before"
            )
        told += f"; {failed} of them failed" if failed else ""
        return told + (f". Left as it is: {'; '.join(self.left)}." if self.left else ".")


class PlaceCleanup(Cleaned):
    """What became of a directory."""

    path: str


class TableCleanup(BaseModel):
    """A table: how many rows it has, are due, and went."""

    table: str
    rows: int
    due: int
    deleted: int = 0
    refused: str | None = None
    problem: str | None = None


class CleanupReport(BaseModel):
    """What was deleted, or would be."""

    host: str
    dry_run: bool
    places: list[PlaceCleanup] = []
    tables: list[TableCleanup] = []
    note: str = ""
    """Why there is nothing to do, where that is worth saying."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def due(self) -> int:
        """Files and rows that are due: the number to confirm where a part of it is refused."""
        return sum(one.due for one in self.places) + sum(one.due for one in self.tables)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The report in a sentence or two."""
        if not self.places and not self.tables:
            return self.note or "Nothing is due."
        verb = "would be deleted" if self.dry_run else "were deleted"
        told = []
        if self.places:
            files = sum(one.due if self.dry_run else one.deleted for one in self.places)
            size = sum(one.due_bytes if self.dry_run else one.freed_bytes for one in self.places)
            told.append(f"{files} files ({_megabytes(size)} MB)")
        if self.tables:
            told.append(f"{sum(one.due if self.dry_run else one.deleted for one in self.tables)} rows")
        reasons = [one.refused for one in self.places] + [one.refused for one in self.tables]
        refused = [reason for reason in reasons if reason]
        more = f" Refused: {'; '.join(refused)}." if refused else ""
        more += f" Not cleaned up: {'; '.join(self.problems)}." if self.problems else ""
        for one in self.places:
            more += f" In {one.path} more may be due: the next run goes on." if one.more else ""
        return f"{' and '.join(told)} {verb}.{more}"

    @property
    def problems(self) -> list[str]:
        """Why places and tables could not be cleaned up."""
        tables = [f"{one.table}: {one.problem}" for one in self.tables if one.problem]
        return [*(one.problem for one in self.places if one.problem), *tables]


class KeyState(BaseModel):
    """A managed key. `id` is by what its provider knows it; the key itself is never here."""

    name: str
    provider: str
    store: str
    id: str | None
    published: datetime | None
    due: datetime | None
    """When it is to be rotated; None if there is none yet, which is now."""
    state: str
    """`none`, `current`, or where its rotation is."""
    revoke_at: datetime | None = None
    problem: str | None = None
    since: datetime | None = None
    """Since when its rotation is where it is; None where it is not being rotated."""


class RotationReport(BaseModel):
    """What was done to each key, in words."""

    dry_run: bool
    done: dict[str, str]
    problems: dict[str, str]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The report in a sentence or two."""
        told = [f"{name}: {what}" for name, what in (self.done | self.problems).items()]
        return f"{'; '.join(told)}." if told else "No key had to be rotated."


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f}"


def _megabytes(size: int) -> str:
    return f"{round(size / 1e6, 1) + 0.0:.1f}"  # no -0.0
