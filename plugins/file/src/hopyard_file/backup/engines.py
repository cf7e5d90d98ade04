"""The two engines by one face: our own, and restic where it is installed. All of it runs in threads."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Protocol

from hopyard_file import roots
from hopyard_file.backup.engine.backing_up import back_up, preview
from hopyard_file.backup.engine.keyring import Keyring
from hopyard_file.backup.engine.locking import Kind, Lock
from hopyard_file.backup.engine.manifest import Snapshot
from hopyard_file.backup.engine.outcomes import Outcome, Restored, Source, Wish
from hopyard_file.backup.engine.places import DirectoryPlace, ObjectPlace, Place
from hopyard_file.backup.engine.pruning import Pruned, prune
from hopyard_file.backup.engine.repository import Repository, open_repository
from hopyard_file.backup.engine.restoring import restore
from hopyard_file.backup.engine.retention import Keep
from hopyard_file.backup.engine.telling import Tell
from hopyard_file.backup.engine.verifying import Checked, verify
from hopyard_file.backup.patterns import Patterns
from hopyard_file.backup.settings import RepositorySettings, SourceSettings


class Engine(Protocol):
    """What can be done with a repository. Each call waits, and raises the core's errors of tasks."""

    def back_up(self, source: Source, share: float, tell: Tell) -> tuple[Outcome, Checked | None]:
        """Back a source up, and read back a share of the repository, beside what is new."""

    def preview(self, source: Source, tell: Tell) -> Outcome:
        """Return what a backup would find."""

    def snapshots(self, source: str | None) -> tuple[list[Snapshot], dict[str, str]]:
        """Return the snapshots of a source, or all, the oldest first; and which cannot be read, and why."""

    def verify(self, share: float, tell: Tell) -> Checked:
        """Read a share of the repository back."""

    def prune(
        self, keep: Keep, zone: tzinfo, damaged: Collection[str], tell: Tell, *, dry_run: bool
    ) -> Pruned:
        """Remove what is past its retention."""

    def restore(self, snapshot: Snapshot, target: str, wish: Wish, tell: Tell) -> Restored:
        """Restore files of a snapshot."""


@dataclass(frozen=True)
class OwnEngine:
    """Repositories as `hopyard_file.backup.engine` makes them."""

    place: Place
    settings: RepositorySettings

    def back_up(self, source: Source, share: float, tell: Tell) -> tuple[Outcome, Checked | None]:
        with self._at_work("shared", f"a backup of {source.name}", create=True) as (repository, lock):
            outcome = back_up(repository, source, lock, tell)
            if not share:
                return outcome, None
            return outcome, verify(repository, lock, tell, share=share, also=repository.new_packs)

    def preview(self, source: Source, tell: Tell) -> Outcome:
        try:
            self.place.get("config", 1 << 20)
        except FileNotFoundError:
            return preview(None, source, tell)
        with closing(self._open()) as repository:
            repository.load()
            return preview(repository, source, tell)

    def snapshots(self, source: str | None) -> tuple[list[Snapshot], dict[str, str]]:
        with closing(self._open()) as repository:
            return repository.snapshots(source)

    def verify(self, share: float, tell: Tell) -> Checked:
        with self._at_work("shared", "a check") as (repository, lock):
            return verify(repository, lock, tell, share=share)

    def prune(
        self, keep: Keep, zone: tzinfo, damaged: Collection[str], tell: Tell, *, dry_run: bool
    ) -> Pruned:
        kind: Kind = "shared" if dry_run else "alone"
        with self._at_work(kind, "a prune") as (repository, lock):
            return prune(repository, lock, tell, keep, zone, damaged=damaged, dry_run=dry_run)

    def restore(self, snapshot: Snapshot, target: str, wish: Wish, tell: Tell) -> Restored:
        with self._at_work("shared", "a restore") as (repository, lock):
            return restore(repository, snapshot, target, wish, lock, tell)

    def _open(self, *, create: bool = False) -> Repository:
        keyring = Keyring(
            [one.get_secret_value() for one in self.settings.identities], self.settings.recipients
        )
        return open_repository(self.place, self.settings.encryption, keyring, create=create)

    @contextmanager
    def _at_work(
        self, kind: Kind, purpose: str, *, create: bool = False
    ) -> Iterator[tuple[Repository, Lock]]:
        """Open and lock the repository, and only then read what is in it."""
        with closing(self._open(create=create)) as repository, Lock(self.place, kind, purpose) as lock:
            repository.load()
            yield repository, lock


async def engine_of(own: RepositorySettings) -> Engine:
    """Return what works on a repository. Raises `EgressRefused`, and `InvalidInput` without restic."""
    if own.engine == "restic":
        from hopyard_file.backup.restic import ResticEngine

        return await ResticEngine.of(own)
    if own.directory is not None:
        return OwnEngine(DirectoryPlace(own.directory), own)
    from hopyard_file.cloud.stores import open_store

    assert own.store is not None  # noqa: S101 - the settings have one or the other
    return OwnEngine(ObjectPlace(await open_store(own.store), own.store.prefix), own)


def source_of(name: str, own: SourceSettings, own_directories: Collection[str]) -> Source:
    """Return a source as engines know it; a repository that lies below its root is no part of it."""
    root = roots.root(own.root).path
    inside = [
        str(Path(place).relative_to(root)) for place in own_directories if Path(place).is_relative_to(root)
    ]
    patterns = Patterns(own.include, [*own.exclude, *(glob.escape(one) for one in inside)])
    return Source(name, root, patterns, own.allow_empty)
