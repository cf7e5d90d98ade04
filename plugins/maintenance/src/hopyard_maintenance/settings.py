"""The settings: when to look, what is too much, what may be cleaned up, which keys are rotated."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from hopyard import PluginSettings
from hopyard.roots import place
from pydantic import AfterValidator, Field, SecretStr, model_validator

_YEAR: Final = 366 * 86_400.0
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
KEY_NAME: Final = r"[a-z][a-z0-9_-]{0,62}"


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"expected a path, found {text!r}")
    return text


def _pattern(text: str) -> str:
    if not text or "/" in text or "\0" in text:
        raise ValueError(f"expected a pattern for the names of files, such as `*.log`, found {text!r}")
    return text


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(f"expected a name of letters, digits and `_`, found {text!r}")
    return text


def _master_key(key: SecretStr) -> SecretStr:
    """Look at the form alone: the library that encrypts is loaded when it is needed."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", key.get_secret_value()):
        raise ValueError(
            "expected 32 bytes in URL-safe base64, as `hopyard maintenance keys master` makes them"
        )
    return key


def _server(text: str) -> str:
    """Refuse what would be no address, or would have secrets or a query in it."""
    found = re.fullmatch(
        r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", text
    )
    if found is None:
        raise ValueError("expected an address such as https://vault.example.com:8200, without user or query")
    return text


def _database(url: SecretStr) -> SecretStr:
    if not re.match(r"(postgres|postgresql|postgresql\+asyncpg)://.|sqlite:///.", url.get_secret_value()):
        raise ValueError("expected the address of the same database, such as postgresql://user@host/name")
    return url


Days = Annotated[float, Field(ge=0, le=36_600)]
Share = Annotated[float, Field(gt=0, le=1)]
Identifier = Annotated[str, AfterValidator(_identifier)]


class FilePlace(PluginSettings):
    """A directory whose old files are deleted: those that match, by age, by total size, or by both."""

    path: Annotated[str, AfterValidator(place)] = Field(description="The directory; absolute, no link.")
    patterns: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(
        min_length=1, description="Which names: `*`, `?` and `[…]`, upper and lower case told apart."
    )
    days: Days | None = Field(None, description="Files that were not changed for longer go.")
    max_bytes: int | None = Field(
        None, ge=0, description="The oldest go until the rest has no more bytes together."
    )

    @model_validator(mode="after")
    def _some_rule(self) -> FilePlace:
        if self.days is None and self.max_bytes is None:
            raise ValueError(f"expected `days`, `max_bytes` or both for {self.path}")
        return self


class SessionTable(PluginSettings):
    """A table of the operator's in the ledger's database, whose old rows are deleted."""

    table: Identifier = Field(description="Its name.")
    column: Identifier = Field(description="The column that says when a row is over.")
    holds: Literal["time", "seconds"] = Field(
        "time", description="A date with time, in UTC where it has no zone; or seconds since 1970."
    )
    days: Days = Field(0.0, description="Rows go so many days after that.")


class OptimizeSettings(PluginSettings):
    """How the database is looked after."""

    database_url: Annotated[SecretStr, AfterValidator(_database)] | None = Field(
        None, description="The server's own address, where `database_url` is that of a pooler."
    )
    lock_seconds: float = Field(2.0, ge=0.1, le=60, description="Longest wait for a lock.")
    statement_seconds: float = Field(900.0, ge=1, le=86_400, description="Longest statement on PostgreSQL.")
    hold_seconds: float = Field(
        5.0, ge=0.5, le=60, description="Longest time that SQLite's write lock is held; below `worker.lease`."
    )
    dead_share: Share = Field(
        0.1, description="Dead or changed rows, as part of all, from which on a table is worked on."
    )
    dead_rows: int = Field(1000, ge=0, description="Fewer dead or changed rows are left alone.")
    reindex: bool = Field(False, description="Whether PostgreSQL's bloated indexes are built anew.")
    reindex_share: Share = Field(0.5, description="Estimated waste, as part of an index, from which on.")
    reindex_bytes: int = Field(16 * 2**20, ge=0, description="Indexes with less waste are left alone.")
    vacuum_share: Share = Field(0.25, description="Free pages, as part of a SQLite file, from which on.")
    vacuum_max_bytes: int = Field(
        512 * 2**20, ge=0, description="Larger SQLite files are not rewritten while workers run."
    )
    integrity_check: bool = Field(False, description="Whether SQLite's file is checked as well.")


class VaultSettings(PluginSettings):
    """A Vault or OpenBao server with a KV engine of version 2."""

    url: Annotated[str, AfterValidator(_server)] = Field(description="Its address.")
    token: SecretStr = Field(
        min_length=1, description="A token that may read, write and delete below the prefix."
    )
    mount: str = Field("secret", pattern=r"^[A-Za-z0-9_-]+$", description="Where the engine is mounted.")
    prefix: str = Field(
        "hopyard", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", description="Path above the keys."
    )
    namespace: str | None = Field(None, description="The namespace, where the server has them.")


class ManagedKey(PluginSettings):
    """A key that is rotated."""

    provider: str = Field(description="Who makes keys: `random`, or a name that a plugin registered.")
    store: Literal["table", "vault"] = Field("table", description="Where it is kept.")
    every_days: float = Field(90.0, gt=0, le=3660, description="How old it becomes.")
    overlap_hours: float = Field(
        24.0, ge=0, le=8784, description="So long both keys work, before the old one is revoked."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="What its provider wants to know; no secrets."
    )


class MaintenanceSettings(PluginSettings):
    """How often to look, from where on it is too much, what may go, and which keys are rotated."""

    health_every: float = Field(300.0, ge=10, le=_YEAR, description="Seconds between two health checks.")
    keep_health_days: float = Field(30.0, gt=0, le=3660, description="Days for which results are kept.")
    flapping_changes: int = Field(
        6, ge=2, le=1000, description="Changes within `flapping_seconds` after which people hear no more."
    )
    flapping_seconds: float = Field(
        3600.0, ge=60, le=_YEAR, description="How long a check must be steady to be told of again."
    )
    sample_every: float = Field(
        60.0, ge=5, le=_YEAR, description="Seconds between two samples of resource use."
    )
    keep_samples_days: float = Field(7.0, gt=0, le=3660, description="Days for which samples are kept.")
    cpu_percent: float = Field(95.0, gt=0, le=100, description="CPU use from which on people are told.")
    memory_percent: float = Field(90.0, gt=0, le=100, description="Memory use from which on people are told.")
    disk_percent: float = Field(90.0, gt=0, le=100, description="Disk use from which on people are told.")
    queue_depth: int = Field(
        10_000, gt=0, description="Waiting jobs in a queue from which on people are told."
    )
    clear_share: float = Field(
        0.9, gt=0, le=1, description="Below this part of its threshold a use is well again."
    )
    alert_after: int = Field(
        3, ge=1, le=1000, description="So many samples in a row must agree before people are told."
    )
    disks: tuple[Annotated[str, AfterValidator(_path)], ...] = Field(
        ("/",), description="Paths on the file systems that are looked at."
    )
    optimize: OptimizeSettings = Field(
        default_factory=OptimizeSettings, description="How the database is looked after."
    )
    logs: tuple[FilePlace, ...] = Field((), description="Where old logs are deleted; nowhere unless given.")
    sessions: tuple[FilePlace, ...] = Field((), description="Where old session files are deleted.")
    session_tables: tuple[SessionTable, ...] = Field(
        (), description="Tables of yours in the ledger's database, whose old sessions are deleted."
    )
    max_share: Share = Field(
        0.5, description="A cleanup that would delete more than this part of anything is refused."
    )
    small: int = Field(100, ge=0, description="Of fewer files or rows than this any part may go.")
    max_files: int = Field(
        200_000, ge=1, le=10_000_000, description="Files of one place that one run deletes, the oldest."
    )
    spare_open: bool = Field(True, description="Whether files that a process has open are left alone.")
    batch_pause: float = Field(0.2, ge=0, le=60, description="Seconds between two batches of deleted rows.")
    master_keys: tuple[Annotated[SecretStr, AfterValidator(_master_key)], ...] = Field(
        (), description="They encrypt the keys in the table; the first is for new ones, all are for reading."
    )
    provider_seconds: float = Field(
        60.0, gt=0, le=3600, description="Longest wait for one answer of whoever makes the keys."
    )
    vault: VaultSettings | None = Field(None, description='The server for keys with `store = "vault"`.')
    keys: dict[Annotated[str, Field(pattern=f"^{KEY_NAME}$")], ManagedKey] = Field(
        default_factory=dict, description="The keys that are rotated, by name."
    )

    @model_validator(mode="after")
    def _stores_are_there(self) -> MaintenanceSettings:
        for name, key in self.keys.items():
            if key.store == "table" and not self.master_keys:
                raise ValueError(f"the key `{name}` is kept in the table: expected `master_keys`")
            if key.store == "vault" and self.vault is None:
                raise ValueError(f'the key `{name}` has store = "vault": expected a section `vault`')
            if key.overlap_hours > 24 * key.every_days:
                raise ValueError(
                    f"the key `{name}` has overlap_hours = {key.overlap_hours:g}: expected at most "
                    f"every_days = {key.every_days:g}, else the next one is due before that is over"
                )
        return self
