"""The last snapshot of a source, by which a backup knows what has not changed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.manifest import MAX_NUMBER, Entry, entries_of
from hopyard_file.backup.engine.repository import Repository


class Before:
    """The files of the last snapshot, in a table of `scratch`; none until `load` was called."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        self._scratch.execute("CREATE TABLE before (path BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID")
        self.files = 0
        self.number = 1
        """Of the snapshot that is being made: one more than the last has."""

    def load(self, repository: Repository, source: str, alive: Callable[[], None]) -> None:
        """Read the last snapshot of a source; `alive` is called now and then."""
        snapshots, _ = repository.snapshots(source)
        if not snapshots:
            return
        self.files = snapshots[-1].files
        self.number = min(snapshots[-1].number + 1, MAX_NUMBER)
        for part in snapshots[-1].parts:
            alive()
            try:
                entries = [*entries_of(repository.read(part))]
            except Damaged:  # their files are read again, and so the part is made anew
                continue
            self._scratch.executemany(
                "INSERT OR IGNORE INTO before VALUES (?, ?)",
                [(os.fsencode(one.path), one.line()) for one in entries if one.kind == "file"],
            )

    def find(self, path: str) -> Entry | None:
        """Return a file as it was; None if it was not there."""
        row = self._scratch.execute("SELECT line FROM before WHERE path = ?", (os.fsencode(path),)).fetchone()
        return None if row is None else next(entries_of(row[0]))


def is_unchanged(before: Entry | None, now: Entry) -> bool:
    """Say whether a file is the same by all that the file system tells of it."""
    return before is not None and not before.racy and _stamp(before) == _stamp(now)


def _stamp(entry: Entry) -> tuple[int, int, int, int]:
    return entry.size, entry.modified, entry.changed, entry.inode
