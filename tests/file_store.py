"""Installations and trees for the tests of backups and cloud connections."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hopyard.testing import Hop
from hopyard_file import File
from hopyard_file.backup.engine.backing_up import back_up
from hopyard_file.backup.engine.keyring import Keyring
from hopyard_file.backup.engine.locking import Kind, Lock
from hopyard_file.backup.engine.outcomes import Outcome, Restored, Source, Wish
from hopyard_file.backup.engine.places import DirectoryPlace
from hopyard_file.backup.engine.pruning import Pruned, prune
from hopyard_file.backup.engine.repository import Encryption, Repository, open_repository
from hopyard_file.backup.engine.restoring import restore
from hopyard_file.backup.engine.retention import Keep
from hopyard_file.backup.engine.telling import Tell, quiet
from hopyard_file.backup.engine.verifying import Checked, verify
from pyrage import x25519  # type: ignore[import-untyped]


@contextmanager
def hop_with(
    folder: Path, *, roots: Mapping[str, Path], backup: Any = None, cloud: Any = None, **more: Any
) -> Iterator[Hop]:
    """An installation whose roots are writable, and whose people are one: `ops`."""
    settings: dict[str, Any] = {
        "plugins.file.settings": {
            "roots": {name: {"path": str(path), "writable": True} for name, path in roots.items()},
            **({"backup": backup} if backup is not None else {}),
            **({"cloud": cloud} if cloud is not None else {}),
        },
        "egress.allow": ["127.0.0.1"],
        "people.ops": {},
        "alerts.to": ["ops"],
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with Hop({"file": File}, folder=folder, settings=settings) as hop:
        yield hop


def make_tree(root: Path, files: int, *, seed: int = 1, size: int = 2_000) -> None:
    """Make so many files of about `size` bytes, in folders, half of them text."""
    some = random.Random(seed)
    words = [some.randbytes(4).hex().encode() for _ in range(500)]
    for n in range(files):
        place = root / f"folder {n % 7}" / f"inner {n % 3}"
        place.mkdir(parents=True, exist_ok=True)
        length = some.randrange(1, 2 * size)
        text = b" ".join(some.choice(words) for _ in range(length // 9 + 1))[:length]
        (place / f"file {n}.txt").write_bytes(text if n % 2 else some.randbytes(length))


def content(root: Path) -> dict[str, bytes | str]:
    """Return what is below a directory: content of files, targets of links (with `-> `), by path."""
    found: dict[str, bytes | str] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            way = str(path.relative_to(root))
            if path.is_symlink():
                found[way] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[way] = path.read_bytes()
    return found


def digests(root: Path) -> dict[str, str]:
    """Return what `content` does, with checksums in the place of content: for trees of any size."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            way = str(path.relative_to(root))
            if path.is_symlink():
                found[way] = f"-> {os.readlink(path)}"
            elif path.is_file():
                with path.open("rb") as file:
                    found[way] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


@dataclass
class Vault:
    """A repository of backups in a directory, and a source, without jobs and database."""

    path: Path
    source: Path
    identity: str = field(default_factory=lambda: str(x25519.Identity.generate()))
    encryption: Encryption = "age"

    @property
    def place(self) -> DirectoryPlace:
        """Where the repository's objects are."""
        return DirectoryPlace(str(self.path))

    def keyring(self) -> Keyring:
        """What the settings would have."""
        return Keyring([self.identity] if self.encryption == "age" else [])

    @contextmanager
    def opened(self, kind: Kind = "shared", *, create: bool = False) -> Iterator[tuple[Repository, Lock]]:
        """The repository, locked and loaded."""
        with (
            closing(
                open_repository(self.place, self.encryption, self.keyring(), create=create)
            ) as repository,
            Lock(self.place, kind, "a test") as lock,
        ):
            repository.load()
            yield repository, lock

    def back_up(self, tell: Tell = quiet, **more: Any) -> Outcome:
        """Back the source up."""
        with self.opened(create=True) as (repository, lock):
            return back_up(repository, Source("docs", str(self.source), **more), lock, tell)

    def restore(self, target: Path, snapshot: str = "", **wish: Any) -> Restored:
        """Restore a snapshot, the last one unless named."""
        with self.opened() as (repository, lock):
            found = repository.snapshots()[0]
            chosen = next(one for one in reversed(found) if one.id.startswith(snapshot))
            return restore(repository, chosen, str(target), Wish(**wish), lock, quiet)

    def verify(self, share: float = 1.0) -> Checked:
        """Read it back."""
        with self.opened() as (repository, lock):
            return verify(repository, lock, quiet, share=share)

    def prune(self, last: int, *, dry_run: bool = False, damaged: Sequence[str] = ()) -> Pruned:
        """Keep the last so many snapshots."""
        keep = Keep(last=last, daily=0, weekly=0, monthly=0)
        with self.opened("alone") as (repository, lock):
            return prune(repository, lock, quiet, keep, ZoneInfo("UTC"), damaged=damaged, dry_run=dry_run)

    def snapshots(self) -> list[str]:
        """Return the ids of all snapshots."""
        with self.opened() as (repository, _):
            return repository.snapshot_ids()

    def objects(self) -> list[Path]:
        """Return the files of the repository, without locks."""
        return sorted(p for p in self.path.rglob("*") if p.is_file() and p.parent.name != "locks")
