"""What is asked of backups and restores, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from hopyard import trees

from hopyard_file.backup.patterns import Patterns

Existing = Literal["keep", "replace"]

_MOST_NOTES: Final = 200
_MOST_RESTORED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up. `root` is an absolute path without links in it."""

    name: str
    root: str
    patterns: Patterns = field(default_factory=Patterns)
    allow_empty: bool = False


@dataclass(slots=True)
class Outcome:
    """What a backup did, or with a dry run would do."""

    source: str
    snapshot: str | None = None
    files: int = 0
    folders: int = 0
    links: int = 0
    bytes: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    read_bytes: int = 0
    stored_bytes: int = 0
    left_out: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Paths, and what was the matter with them: the first two hundred."""

    def note(self, path: str, what: str, *, left_out: bool = True) -> None:
        """Keep what was the matter with a file."""
        self.left_out += left_out
        if len(self.notes) < _MOST_NOTES:
            self.notes.append((path, what))


@dataclass(slots=True)
class Restored:
    """What a restore did, or with a dry run would do."""

    files: int = 0
    bytes: int = 0
    folders: int = 0
    links: int = 0
    already: int = 0
    """Files that were there with the same content."""
    kept: int = 0
    """Files that were there with another content, and were left alone."""
    failed: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)

    def note(self, path: str, what: str) -> None:
        """Keep what was the matter with a file: of the first thousand."""
        if len(self.notes) < _MOST_RESTORED:
            self.notes.append((path, what))

    def fail(self, path: str, what: str) -> None:
        """Keep why a file was not restored."""
        self.failed += 1
        self.note(path, what)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored, and how. Without `paths` it is all; a path may be a file's or a folder's."""

    paths: tuple[str, ...] = ()
    existing: Existing = "keep"
    owners: bool = False
    """Give files to those who owned them, with set-user-id bits; for root."""
    dry_run: bool = False

    def taking(self, path: str) -> list[str]:
        """Return which of `paths` an entry belongs to."""
        forms = _forms(path)
        return [one for one in self.paths if any(f == one or f.startswith(f"{one}/") for f in forms)]

    def leads_to(self, path: str) -> bool:
        """Say whether an entry is a folder on the way to what is meant."""
        return any(path == "" or one.startswith(f"{f}/") for f in _forms(path) for one in self.paths)


def _forms(path: str) -> tuple[str, ...]:
    """Return a path as it is, and where it differs as people see it: bytes and line breaks escaped."""
    return (path,) if path.isprintable() else (path, "/".join(trees.shown(name) for name in path.split("/")))
