"""The shape of the settings: frozen, every key optional, unknown keys refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from hopyard.errors import Fault
from hopyard.retry import MAX_FACTOR, MAX_RETRIES
from hopyard.settings._oidc import LOOPBACK, OidcSection
from hopyard.settings._section import Section
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
    MAX_RESOURCE,
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
ResourceName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$")]
Held = Annotated[Whole, Field(ge=1, le=MAX_RESOURCE)]
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if str(value).upper() in LEVELS else value),
]


class PluginEntry(Section):
    """What `[plugins.NAME]` says about one plugin."""

    enabled: bool = Field(True, description="Whether it is loaded.")
    required: bool = Field(False, description="Whether the installation is not ready without it.")
    on_failure: Literal["quarantine", "abort"] = Field(
        "quarantine", description="What happens if it fails: go on without it, or refuse to start."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="The plugin's own settings; its model checks them when it is loaded.",
    )


class PluginsSection(Section):
    """`[plugins]`: which plugins may be loaded. Every other key is a table for the plugin of that name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, PluginEntry] = Field(init=False)

    allow: list[Name] | None = Field(
        None, description="Names of plugins that may be loaded; unless given, all that are installed."
    )
    strict: bool = Field(False, description="Refuse to start if any plugin fails.")

    @property
    def entries(self) -> Mapping[str, PluginEntry]:
        """The tables `[plugins.NAME]` by name."""
        return self.__pydantic_extra__ or {}


class QueueEntry(Section):
    """What the operator changes of a queue; None: as declared."""

    slots: Slots | None = Field(None, description="Jobs of it that run at once in one worker process.")
    priority: QueuePriority | None = Field(
        None, description="Its weight where one worker serves several queues."
    )
    group: Name | None = Field(None, description="The worker of `hopyard up` that serves it.")
    resources: dict[ResourceName, Held] | None = Field(
        None, description="What each of its jobs holds while it runs, by name."
    )


class RetryEntry(Section):
    """What the operator changes of a task's retry policy; None: as declared. Durations in seconds."""

    max_retries: Retries | None = Field(None, description="How often a failed job is tried again.")
    backoff: Duration | None = Field(None, description="The wait before the first retry.")
    factor: Annotated[float, Field(ge=1, le=MAX_FACTOR)] | None = Field(
        None, description="By how much each wait is longer than the one before."
    )
    max_backoff: Duration | None = Field(None, description="The longest wait.")
    jitter: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Spreads each wait by this part of itself, up or down."
    )
    on: frozenset[Category] | None = Field(None, description="The categories of errors that are retried.")


class TaskEntry(Section):
    """What the operator changes of a task; None: as declared. `time_limit` in seconds."""

    queue: QueueName | None = Field(None, description="The queue of its jobs.")
    retry: RetryEntry = Field(RetryEntry(), description="How often and when failed jobs are tried again.")
    time_limit: TimeLimit | None = Field(None, description="How long one attempt may take.")
    priority: JobPriority | None = Field(None, description="The priority of its jobs; the highest first.")
    resources: dict[ResourceName, Held] | None = Field(
        None, description="What each of its jobs holds while it runs, by name."
    )


class ScheduleEntry(Section):
    """What the operator changes of a schedule, or, with `task`, a schedule of the operator's own."""

    task: Name | None = Field(None, description="The task to submit, for a schedule of the operator's own.")
    every: Interval | None = Field(None, description="An interval.")
    cron: Cron | None = Field(None, description="Five cron fields, or `@daily` and the like.")
    rrule: RRule | None = Field(None, description="A rule of RFC 5545.")
    after: Name | None = Field(
        None, description="Another schedule: due each time that a job of it has succeeded."
    )
    zone: Zone | None = Field(None, description="IANA time zone of the rule; `time_zone` unless given.")
    enabled: bool | None = Field(None, description="Whether it fires.")
    misfire: Misfire | None = Field(
        None, description="Which due times that passed while nobody looked are made up for."
    )
    overlap: Overlap | None = Field(None, description="What happens if the job before still goes on.")
    kwargs: dict[str, JsonLike] | None = Field(None, description="Arguments of the task.")

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

    zone: Zone | None = Field(None, description="Their IANA time zone; `time_zone` unless given.")
    channels: list[ChannelUrl] = Field(
        default_factory=list, description="Addresses over which they are told things."
    )


class WorkerSection(Section):
    """How workers keep their jobs, and how they stop."""

    lease: Lease = Field(
        15.0, description="So long after its last heartbeat a worker's jobs are given to others; at most 1 h."
    )
    heartbeat: Heartbeat = Field(
        default_factory=lambda data: data.get("lease", 15.0) / 3,
        description="How often a worker says that it lives; a third of the lease unless given.",
    )
    grace: Grace = Field(
        10.0, description="What running jobs have to end when the worker stops; at most a day."
    )
    cancel_grace: Grace = Field(
        5.0,
        description="What a cancelled job in a process of its own has before it is killed; at most a day.",
    )
    start_limit: StartLimit = Field(
        30.0, description="What a plugin's `start_process` may take; at most an hour."
    )

    @model_validator(mode="after")
    def _heartbeat_within_lease(self) -> WorkerSection:
        if self.heartbeat >= self.lease:
            raise expected(f"a `heartbeat` shorter than the `lease` of {self.lease:g} s")
        return self


class RetentionSection(Section):
    """How many days are kept, at most ten years."""

    progress_days: Days = Field(7, description="Days for which the progress of jobs that are over is kept.")
    results_days: Days = Field(30, description="Days for which all else that is over is kept.")


class EgressSection(Section):
    """Hosts, `host:port` and networks that tasks may reach although they are private."""

    allow: list[EgressHost] = Field(
        default_factory=list,
        description="`host`, `*.domain`, `host:port`, an address, or a network such as `10.0.0.0/8`.",
    )


class LogSection(Section):
    """How the logs look."""

    level: Level = Field("INFO", description="The least severe level that is logged.")
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text.")


class WebSection(Section):
    """Where the dashboard and the HTTP API are served, and to whom."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        "127.0.0.1", description="The address that is listened on."
    )
    port: Annotated[Whole, Field(ge=1, le=65535)] = Field(8600, description="The port.")
    prefix: Annotated[str, Field(pattern="^(/[A-Za-z0-9._~-]+)*$", max_length=200)] = Field(
        "", description="The path below which all is served, such as `/jobs`; nothing unless given."
    )
    origins: list[Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]] = Field(
        default_factory=list,
        description="The addresses under which browsers reach it, such as `https://jobs.example.com`; "
        "needed behind a proxy that changes the `Host` header.",
    )
    proxies: list[str] = Field(
        default_factory=list,
        description="Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    )
    session_hours: Annotated[float, Field(gt=0, le=24 * 366)] = Field(
        12.0, description="How long a login lasts."
    )
    requests_per_minute: Annotated[Whole, Field(ge=1, le=10_000_000)] = Field(
        60_000, description="Requests of one token, login or unknown address that each process answers."
    )
    certificate: Path | None = Field(None, description="A PEM file with the certificate, for HTTPS.")
    certificate_key: Path | None = Field(None, description="A PEM file with its private key.")
    oidc: OidcSection | None = Field(
        None, description="Logging in by OpenID Connect; unless given, by tokens and links only."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> WebSection:
        if (self.certificate is None) is not (self.certificate_key is None):
            raise expected("both `certificate` and `certificate_key`, or neither")
        return self

    @model_validator(mode="after")
    def _known_address(self) -> WebSection:
        if self.oidc is not None and not self.origins and self.host not in LOOPBACK:
            raise expected("`origins` beside `oidc`: the provider sends browsers back to the first of them")
        return self


class AlertsSection(Section):
    """Whom alerts are sent to: keys of `[people]`."""

    to: list[str] = Field(default_factory=list, description="Keys of `[people]` who are told.")


class Settings(Section):
    """All settings of one installation, as `load` makes them."""

    broker_url: BrokerUrl | None = Field(
        None, description="The broker's address; the embedded Valkey unless given."
    )
    database_url: DatabaseUrl | None = Field(
        None, description="The ledger's address; SQLite in the data directory unless given."
    )
    time_zone: Zone = Field("UTC", description="IANA time zone of rules and times that have none.")
    data: Path = Field(
        default_factory=lambda: Path(".hopyard").absolute(),
        description="The data directory; `.hopyard` where the process starts unless given.",
    )
    plugins: PluginsSection = Field(
        default_factory=PluginsSection, description="Which plugins may be loaded, and what each is told."
    )
    queues: dict[str, QueueEntry] = Field(default_factory=dict, description="Changes of queues, by name.")
    tasks: dict[str, TaskEntry] = Field(default_factory=dict, description="Changes of tasks, by name.")
    resources: dict[ResourceName, Annotated[Whole, Field(ge=0, le=MAX_RESOURCE)]] = Field(
        default_factory=dict,
        description="What the workers of the installation have together, by name, such as `gpu = 2`.",
    )
    schedules: dict[str, ScheduleEntry] = Field(
        default_factory=dict, description="Changes of schedules, and the operator's own, by name."
    )
    people: dict[str, PersonEntry] = Field(
        default_factory=dict, description="People who can be notified, by name."
    )
    worker: WorkerSection = Field(
        default_factory=WorkerSection, description="How workers keep their jobs, and how they stop."
    )
    retention: RetentionSection = Field(
        default_factory=RetentionSection, description="How long what is over is kept."
    )
    egress: EgressSection = Field(
        default_factory=EgressSection, description="What tasks may reach although it is private."
    )
    log: LogSection = Field(default_factory=LogSection, description="How the logs look.")
    alerts: AlertsSection = Field(default_factory=AlertsSection, description="Whom alerts are sent to.")
    web: WebSection = Field(
        default_factory=WebSection, description="Where the dashboard and the HTTP API are served."
    )

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
