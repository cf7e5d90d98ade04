"""The settings of backups: what, to where, how long it is kept."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from hopyard import PluginSettings
from hopyard.roots import place
from pydantic import AfterValidator, Field, SecretStr, model_validator

from hopyard_file.cloud.stores import Store


def _identity(value: SecretStr) -> SecretStr:
    import pyrage  # type: ignore[import-untyped]  # it has no type information
    from pyrage import x25519

    try:
        x25519.Identity.from_str(value.get_secret_value().strip())
    except pyrage.IdentityError:
        raise ValueError("expected an age identity as `age-keygen` makes it, AGE-SECRET-KEY-1…") from None
    return value


def _recipient(value: str) -> str:
    import pyrage
    from pyrage import x25519

    try:
        x25519.Recipient.from_str(value)
    except pyrage.RecipientError:
        raise ValueError(f"found {value[:80]!r}, expected an age recipient, age1…") from None
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class KeepSettings(PluginSettings):
    """How many snapshots of each source are kept; the last good one always is."""

    last: int = Field(7, ge=0, le=10_000, description="The latest.")
    daily: int = Field(7, ge=0, le=10_000, description="The last one of each of so many days.")
    weekly: int = Field(5, ge=0, le=10_000, description="… of so many weeks.")
    monthly: int = Field(12, ge=0, le=10_000, description="… of so many months.")
    yearly: int = Field(0, ge=0, le=10_000, description="… of so many years.")


class RepositorySettings(PluginSettings):
    """Where backups are stored, and how."""

    directory: Annotated[str, AfterValidator(place)] | None = Field(
        None, description="A directory of the machine that serves `file.backup`; the first backup makes it."
    )
    store: Store | None = Field(None, description="An object store in its place.")
    engine: Literal["own", "restic"] = Field(
        "own", description="`restic`: by the restic program, where it is installed."
    )
    encryption: Literal["age", "none"] = Field(
        "age", description='`"none"` stores everything as anybody can read it.'
    )
    identities: list[Annotated[SecretStr, AfterValidator(_identity)]] = Field(
        default_factory=list,
        description="age identities (`AGE-SECRET-KEY-1…`, by `age-keygen`). Without them nothing can be "
        "restored: keep a copy where the backup is not.",
    )
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field(
        default_factory=list, description="Further age recipients (`age1…`) who shall be able to restore."
    )
    password: SecretStr | None = Field(None, description="Of a repository of restic.")
    keep: KeepSettings = Field(default_factory=KeepSettings, description="How long snapshots are kept.")
    verify: Literal["all", "none"] | Annotated[float, Field(gt=0, le=1)] = Field(
        0.1,
        description="How much is read back after a backup: all, none, or a share, beside what is new.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> RepositorySettings:
        if (self.directory is None) is (self.store is None):
            raise ValueError("expected either a `directory` or a `store`")
        if self.engine == "restic":
            self._check_restic()
        elif self.encryption == "age" and not self.identities:
            raise ValueError('expected `identities`, or `encryption = "none"` to store everything readable')
        elif self.encryption == "none" and (self.identities or self.recipients):
            raise ValueError('found `encryption = "none"`, expected no `identities` and `recipients` with it')
        return self

    def _check_restic(self) -> None:
        if self.password is None:
            raise ValueError("expected a `password`: restic has no repositories without")
        if self.store is not None and self.store.kind != "s3":
            raise ValueError('expected a `directory` or a store of the kind "s3" for restic')

    def where(self) -> tuple[str, ...]:
        """Return where it is, part by part; one that lies in another begins with the parts of that."""
        if self.directory is not None:
            return ("", *_parts(self.directory))
        assert self.store is not None  # noqa: S101 - the settings have one or the other
        held = self.store.container if self.store.kind == "azure" else self.store.bucket
        return (self.store.address(), held, *(part for part in self.store.prefix.split("/") if part))

    def share(self) -> float:
        """Return the share of the packs that is read back after a backup."""
        if isinstance(self.verify, float):
            return self.verify
        return 1.0 if self.verify == "all" else 0.0


class SourceSettings(PluginSettings):
    """What is backed up."""

    root: str = Field(description="The name of a root.")
    repository: str = Field(description="The name of a repository.")
    include: list[str] = Field(default_factory=list, description="Patterns of what is taken; all by default.")
    exclude: list[str] = Field(default_factory=list, description="Patterns of what is not.")
    allow_empty: bool = Field(
        False, description="Whether a source without files is backed up although it had some the last time."
    )
    overdue_days: float = Field(
        9.0, gt=0, le=3660, description="Without a good backup for so long, the health check says so."
    )


class BackupSettings(PluginSettings):
    """Sources and repositories by name."""

    sources: dict[Name, SourceSettings] = Field(default_factory=dict, description="What is backed up.")
    repositories: dict[Name, RepositorySettings] = Field(default_factory=dict, description="Where to.")

    @model_validator(mode="after")
    def _repositories_are_there(self) -> BackupSettings:
        for name, source in self.sources.items():
            if source.repository not in self.repositories:
                told = ", ".join(f"`{one}`" for one in self.repositories) or "none"
                raise ValueError(
                    f"sources.{name}.repository: found `{source.repository}`, expected one of {told}"
                )
            if source.include and self.repositories[source.repository].engine == "restic":
                raise ValueError(f"sources.{name}.include: restic knows only `exclude`")
        return self

    @model_validator(mode="after")
    def _repositories_are_apart(self) -> BackupSettings:
        """Two repositories in one place would take each other's locks and packs for their own."""
        where = {name: own.where() for name, own in self.repositories.items()}
        for name, other in itertools.combinations(where, 2):
            if _overlap(where[name], where[other]):
                raise ValueError(
                    f"repositories.{other}: found the place of repositories.{name}, or one of the two inside "
                    "the other, expected a place of its own"
                )
        return self

    def check_roots(self, paths: Mapping[str, str]) -> None:
        """Raise `ValueError` where a source and its repository lie in each other; `paths` are those of roots.

        Repositories of other sources that lie below a root are no part of what is backed up.
        """
        for name, source in self.sources.items():
            directory = self.repositories[source.repository].directory
            root = paths[source.root]
            if directory is not None and _overlap(_parts(directory), _parts(root)):
                raise ValueError(
                    f"sources.{name}: found the repository {source.repository} at {directory} and the root "
                    f"{source.root} at {root}, expected neither in the other: what destroys one would "
                    "destroy both"
                )

    def root_names(self) -> Iterable[str]:
        """Return the names of all roots that these settings name, which must be declared."""
        return [source.root for source in self.sources.values()]


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _parts(directory: str) -> tuple[str, ...]:
    return Path(os.path.realpath(directory)).parts
