"""The shape of the settings: frozen, every key optional, unknown keys refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from hopyard.errors import Fault
from hopyard.retry import MAX_FACTOR, MAX_RETRIES
from hopyard.settings._values import (
    BrokerUrl,
    ChannelUrl,
    Cron,
    DatabaseUrl,
    Duration,
    EgressHost,
    Interval,
    JsonLike,
    Name,
    QueueName,
    RRule,
    Whole,
    Zone,
    expected,
)
from hopyard.specs import (
    JOB_PRIORITIES,
    MAX_SLOTS,
    QUEUE_PRIORITIES,
    Category,
    Misfire,
    Overlap,
)

Key = tuple[str | int, ...]

SITE_FILE = "hopfile.py"

Slots = Annotated[Whole, Field(ge=1, le=MAX_SLOTS)]
QueuePriority = Annotated[Whole, Field(ge=QUEUE_PRIORITIES[0], le=QUEUE_PRIORITIES[1])]
JobPriority = Annotated[Whole, Field(ge=JOB_PRIORITIES[0], le=JOB_PRIORITIES[1])]
Retries = Annotated[Whole, Field(ge=0, le=MAX_RETRIES)]
Days = Annotated[Whole, Field(ge=1, le=3660)]
"""Up to ten years: a database's dates end somewhere."""
Lease = Annotated[Duration, Field(ge=1, le=3600)]
"""From a second, as no worker can prove that it lives more often, up to an hour: so long nobody would notice
that one has died."""
Heartbeat = Annotated[Duration, Field(ge=0.05, le=3600)]
Grace = Annotated[Duration, Field(le=86400)]
StartLimit = Annotated[Duration, Field(ge=0.1, le=3600)]
TimeLimit = Annotated[Duration, Field(ge=0.1)]
"""In less no job has a chance."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if str(value).upper() in LEVELS else value),
]


class Section(BaseModel):
    """Base of all tables: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PluginEntry(Section):
    """What `[plugins.NAME]` says about one plugin."""

    enabled: bool = True
    required: bool = False
    """Not ready without it."""
    on_failure: Literal["quarantine", "abort"] = "quarantine"
    settings: dict[str, Any] = Field(default_factory=dict)
    """As written; the plugin's own model validates it when the plugin is loaded."""


class PluginsSection(Section):
    """`[plugins]`: which plugins may be loaded. Every other key is a table for the plugin of that name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, PluginEntry] = Field(init=False)

    allow: list[Name] | None = None
    """None: every installed plugin may be loaded."""
    strict: bool = False
    """True: any failed plugin is a refusal to start."""

    @property
    def entries(self) -> Mapping[str, PluginEntry]:
        """The tables `[plugins.NAME]` by name."""
        return self.__pydantic_extra__ or {}


class QueueEntry(Section):
    """What the operator changes of a queue; None: as declared."""

    slots: Slots | None = None
    priority: QueuePriority | None = None
    group: Name | None = None


class RetryEntry(Section):
    """What the operator changes of a task's retry policy; None: as declared. Durations in seconds."""

    max_retries: Retries | None = None
    backoff: Duration | None = None
    factor: Annotated[float, Field(ge=1, le=MAX_FACTOR)] | None = None
    max_backoff: Duration | None = None
    jitter: Annotated[float, Field(ge=0, le=1)] | None = None
    on: frozenset[Category] | None = None


class TaskEntry(Section):
    """What the operator changes of a task; None: as declared. `time_limit` in seconds."""

    queue: QueueName | None = None
    retry: RetryEntry = RetryEntry()
    time_limit: TimeLimit | None = None
    priority: JobPriority | None = None


class ScheduleEntry(Section):
    """What the operator changes of a schedule, or, with `task`, a schedule of the operator's own."""

    task: Name | None = None
    every: Interval | None = None
    cron: Cron | None = None
    rrule: RRule | None = None
    after: Name | None = None
    zone: Zone | None = None
    enabled: bool | None = None
    misfire: Misfire | None = None
    overlap: Overlap | None = None
    kwargs: dict[str, JsonLike] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> ScheduleEntry:
        rules = [self.every, self.cron, self.rrule, self.after]
        if sum(rule is not None for rule in rules) > 1:
            raise expected("one of `every`, `cron`, `rrule` and `after`")
        if self.task is not None and all(rule is None for rule in rules):
            raise expected("one of `every`, `cron`, `rrule` and `after` beside `task`")
        return self


class PersonEntry(Section):
    """A person who can be notified; channels are addresses such as `mailto://…`."""

    zone: Zone | None = None
    channels: list[ChannelUrl] = Field(default_factory=list)


class WorkerSection(Section):
    """Seconds. The heartbeat is a third of the lease (at most an hour) unless given.

    `grace` is what running jobs have to end when the worker stops, `cancel_grace` what a cancelled job in a
    process of its own has before it is killed; each at most a day. `start_limit` is what a plugin's
    `start_process` may take, at most an hour.
    """

    lease: Lease = 15.0
    heartbeat: Heartbeat = Field(default_factory=lambda data: data.get("lease", 15.0) / 3)
    grace: Grace = 10.0
    cancel_grace: Grace = 5.0
    start_limit: StartLimit = 30.0

    @model_validator(mode="after")
    def _heartbeat_within_lease(self) -> WorkerSection:
        if self.heartbeat >= self.lease:
            raise expected(f"a `heartbeat` shorter than the `lease` of {self.lease:g} s")
        return self


class RetentionSection(Section):
    """How many days are kept, at most ten years."""

    progress_days: Days = 7
    results_days: Days = 30


class EgressSection(Section):
    """Hosts, `host:port` and networks that tasks may reach although they are private."""

    allow: list[EgressHost] = Field(default_factory=list)


class LogSection(Section):
    """How the logs look."""

    level: Level = "INFO"
    format: Literal["json", "text"] = "json"


class AlertsSection(Section):
    """Whom alerts are sent to: keys of `[people]`."""

    to: list[str] = Field(default_factory=list)


class Settings(Section):
    """All settings of one installation, as `load` makes them."""

    broker_url: BrokerUrl | None = None
    """None: the embedded Valkey."""
    database_url: DatabaseUrl | None = None
    """None: SQLite in the data directory."""
    time_zone: Zone = "UTC"
    data: Path = Field(default_factory=lambda: Path(".hopyard").absolute())
    """The data directory, absolute."""
    plugins: PluginsSection = Field(default_factory=PluginsSection)
    queues: dict[str, QueueEntry] = Field(default_factory=dict)
    tasks: dict[str, TaskEntry] = Field(default_factory=dict)
    schedules: dict[str, ScheduleEntry] = Field(default_factory=dict)
    people: dict[str, PersonEntry] = Field(default_factory=dict)
    worker: WorkerSection = Field(default_factory=WorkerSection)
    retention: RetentionSection = Field(default_factory=RetentionSection)
    egress: EgressSection = Field(default_factory=EgressSection)
    log: LogSection = Field(default_factory=LogSection)
    alerts: AlertsSection = Field(default_factory=AlertsSection)

    _file: Path | None = PrivateAttr(default=None)
    _directory: Path | None = PrivateAttr(default=None)
    _sources: Mapping[Key, str] = PrivateAttr(default_factory=dict)
    _tables: Mapping[Key, str] = PrivateAttr(default_factory=dict)
    _secrets: frozenset[Key] = PrivateAttr(default=frozenset())
    _plugin_faults: Mapping[str, tuple[Fault, ...]] = PrivateAttr(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """The settings file that was read; None if there was none."""
        return self._file

    @property
    def ledger_url(self) -> str:
        """The ledger's address; without a setting a SQLite file in the data directory."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data / 'hopyard.db'}"

    @property
    def site(self) -> Path | None:
        """The `hopfile.py` with the site's own plugin: beside the settings file, without one in the directory
        from which the settings were read. None if there is none."""
        place = self._file.parent if self._file else self._directory
        path = place / SITE_FILE if place else None
        return path if path and os.path.lexists(path) else None

    @property
    def plugin_faults(self) -> Mapping[str, tuple[Fault, ...]]:
        """By plugin: what is wrong in its `settings` table already before its model looks at it."""
        return self._plugin_faults

    def plugin(self, name: str) -> PluginEntry:
        """What the settings say about a plugin; the defaults if they say nothing."""
        return self.plugins.entries.get(name) or PluginEntry()

    def source(self, *key: str | int) -> str:
        """Where a key's value is from: `path:line`, an environment variable, `command line` or `default`."""
        for length in range(len(key), 0, -1):
            if key[:length] in self._sources:
                return self._sources[key[:length]]
        return "default"

    def nearest_source(self, *key: str | int) -> str:
        """For faults: like `source`, but of the table around a key that stands nowhere, or else the file."""
        for length in range(len(key), 0, -1):
            for known in (self._sources, self._tables):
                if key[:length] in known:
                    return known[key[:length]]
        return str(self._file or "settings")

    def masked(self, *key: str | int) -> bool:
        """True where the value came through a reference (`{ env = … }`), so that it must not be shown."""
        return any(key[:length] in self._secrets for length in range(1, len(key) + 1))
