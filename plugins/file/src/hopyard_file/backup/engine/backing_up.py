"""A backup: what changed is read and stored, and at the end one object makes it a snapshot."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from hopyard.errors import InvalidInput

from hopyard_file.backup.engine.before import Before, is_unchanged
from hopyard_file.backup.engine.catalog import scratch
from hopyard_file.backup.engine.chunking import Pieces, store_file
from hopyard_file.backup.engine.errors import Damaged, LeaseLost
from hopyard_file.backup.engine.locking import Lock
from hopyard_file.backup.engine.manifest import MAX_PATH, Entry, Snapshot, new_id, parts_of, snapshot_key
from hopyard_file.backup.engine.outcomes import Outcome, Source
from hopyard_file.backup.engine.packs import TREE
from hopyard_file.backup.engine.repository import Repository
from hopyard_file.backup.engine.scanning import Found, scan
from hopyard_file.backup.engine.telling import Tell

#: A file that was changed so shortly before it was read may change again without its times telling, in ns:
#: kernels count them in ticks of up to 10 ms, some network file systems in seconds.
_RACY: Final = 2 * 10**9


def back_up(repository: Repository, source: Source, lock: Lock, tell: Tell) -> Outcome:
    """Back a source up. `repository` is loaded, `lock` is taken.

    Raises `InvalidInput` for a source that is no directory, or is empty where its last snapshot was not, and
    what `tell` raises; what was stored by then is used by the next run.
    """
    run = _Run(repository, source, lock, tell)
    try:
        return run.back_up()
    finally:
        run.close()


def preview(repository: Repository | None, source: Source, tell: Tell) -> Outcome:
    """Return what a backup would find, by the times and sizes of files; nothing is read or stored."""
    run = _Run(repository, source, None, tell)
    try:
        return run.preview()
    finally:
        run.close()


class _Run:
    def __init__(self, repository: Repository | None, source: Source, lock: Lock | None, tell: Tell) -> None:
        self._given = repository
        self._source = source
        self._lock = lock
        self._tell = tell
        self._started = datetime.now(UTC)
        self._outcome = Outcome(source.name)
        self._scratch = scratch()
        self._before = Before(self._scratch)
        self._scratch.execute("CREATE TABLE entry (path BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID")
        self._pieces = Pieces(repository) if repository is not None else None
        self._all = (0, 0)
        self._done = [0, 0]

    def close(self) -> None:
        if self._pieces is not None:
            self._pieces.close()
        self._scratch.close()

    @property
    def _repository(self) -> Repository:
        assert self._given is not None  # noqa: S101 - for the type checker: only previews have none
        return self._given

    def back_up(self) -> Outcome:
        self._before.load(self._repository, self._source.name, self._reading)
        self._all = self._count()
        for found in scan(self._source.root, self._source.patterns):
            self._take(found)
        self._refuse_empty()
        assert self._pieces is not None  # noqa: S101
        self._pieces.flush()
        parts = tuple(self._pieces.add(TREE, part) for part in parts_of(self._lines()))
        self._pieces.flush()
        self._finish(parts)
        return self._outcome

    def preview(self) -> Outcome:
        if self._given is not None:
            self._before.load(self._given, self._source.name, self._reading)
        outcome = self._outcome
        for found in scan(self._source.root, self._source.patterns):
            entry = found.entry
            if self._count_simple(entry):
                continue
            outcome.files += 1
            outcome.bytes += entry.size
            before = self._before.find(entry.path)
            if before is None:
                outcome.new += 1
            elif is_unchanged(replace(before, racy=False), entry):
                outcome.unchanged += 1
            else:
                outcome.changed += 1
            if not is_unchanged(before, entry):
                outcome.read_bytes += entry.size
            self._tell(outcome.files, outcome.bytes, 0, 0, entry.path)
        outcome.gone = self._before.files - outcome.changed - outcome.unchanged
        return outcome

    # --- one thing after the other

    def _count(self) -> tuple[int, int]:
        files = size = 0
        for found in scan(self._source.root, self._source.patterns):
            if found.file is not None:
                files += 1
                size += found.entry.size
                if files % 500 == 0:
                    self._keep_alive(f"counting: {files:,} files")
        return files, size

    def _reading(self) -> None:
        self._keep_alive("reading the last snapshot")

    def _keep_alive(self, what: str) -> None:
        if self._lock is not None:
            self._lock.keep()
        self._tell(self._done[0], self._done[1], *self._all, what)

    def _count_simple(self, entry: Entry) -> bool:
        """Count what is no file, and say whether it was one of those."""
        if entry.kind == "file":
            return False
        if entry.kind == "left out":
            self._outcome.note(entry.path, entry.note)
        elif entry.kind == "folder":
            self._outcome.folders += 1
        else:
            self._outcome.links += 1
        return True

    def _take(self, found: Found) -> None:
        if self._count_simple(found.entry):
            self._keep(found.entry)
            return
        before = self._before.find(found.entry.path)
        entry = self._unchanged(found.entry, before) or self._read(found)
        if entry.kind == "file":
            self._compare(entry, before)
        self._keep(entry)
        self._done[0] += 1
        self._keep_alive(found.entry.path)

    def _compare(self, entry: Entry, before: Entry | None) -> None:
        """Count a file as new, changed or unchanged, by its content."""
        if before is None:
            self._outcome.new += 1
        elif (before.size, before.chunks) == (entry.size, entry.chunks):
            self._outcome.unchanged += 1
        else:
            self._outcome.changed += 1

    def _keep(self, entry: Entry) -> None:
        if len(os.fsencode(entry.path)) > MAX_PATH:  # who reads the list refuses it
            self._outcome.note(entry.path, f"is left out: its path has more than {MAX_PATH:,} bytes")
            return
        self._scratch.execute(
            "INSERT OR REPLACE INTO entry VALUES (?, ?)", (os.fsencode(entry.path), entry.line())
        )

    def _unchanged(self, entry: Entry, before: Entry | None) -> Entry | None:
        """Return the entry with the content that it had before, if its times are the same and it is there."""
        if before is None or not is_unchanged(before, entry) or not self._is_there(before):
            return None
        self._add_file(entry.size)
        self._done[1] += entry.size
        return replace(entry, chunks=before.chunks, listed=before.listed)

    def _is_there(self, before: Entry) -> bool:
        assert self._pieces is not None  # noqa: S101
        known = self._pieces.known
        if not all(known(name) for name in before.chunks):
            return False
        try:
            return not before.listed or all(known(name) for name in self._repository.chunks(before))
        except Damaged:
            return False

    def _add_file(self, size: int) -> None:
        self._outcome.files += 1
        self._outcome.bytes += size

    def _read(self, found: Found) -> Entry:
        """Read a file, a second time if it changes meanwhile; return its entry."""
        path = found.entry.path
        for attempt in (1, 2):
            try:
                descriptor = found.open()
            except OSError as error:
                return self._left_out(path, str(error.strerror or error))
            if descriptor is None:
                return self._left_out(path, "was removed or replaced before it was read")
            try:
                entry, steady = self._read_open(found.entry, descriptor)
            except OSError as error:
                return self._left_out(path, str(error.strerror or error))
            finally:
                os.close(descriptor)
            if steady or attempt == 2:
                break
        if not steady:
            entry = replace(entry, racy=True, note="changed while it was read")
            self._outcome.note(path, entry.note, left_out=False)
        self._add_file(entry.size)
        return entry

    def _read_open(self, entry: Entry, descriptor: int) -> tuple[Entry, bool]:
        assert self._pieces is not None  # noqa: S101
        before = os.fstat(descriptor)

        def read(count: int) -> None:
            self._done[1] += count
            self._outcome.read_bytes += count
            self._keep_alive(entry.path)

        done = self._done[1]
        chunks, listed, size = store_file(descriptor, before.st_size, self._pieces, read)
        after = os.fstat(descriptor)
        steady = _times(before) == _times(after) and size == after.st_size
        if not steady:
            self._done[1] = done
        racy = time.time_ns() - after.st_ctime_ns < _RACY
        made = replace(
            entry,
            size=size,
            modified=after.st_mtime_ns,
            changed=after.st_ctime_ns,
            chunks=chunks,
            listed=listed,
            racy=racy,
        )
        return made, steady

    def _left_out(self, path: str, what: str) -> Entry:
        self._outcome.note(path, what)
        return Entry(path, "left out", note=what)

    # --- the end

    def _refuse_empty(self) -> None:
        if self._outcome.files == 0 and self._before.files > 0 and not self._source.allow_empty:
            raise InvalidInput(
                f"{self._source.root} has no files, and its last backup has {self._before.files:,}: is it "
                "not mounted? To back up an empty source say `allow_empty = true`"
            )

    def _lines(self) -> Iterator[tuple[str, bytes]]:
        self._keep_alive("writing the list of files")
        for path, line in self._scratch.execute("SELECT path, line FROM entry ORDER BY path"):
            yield os.fsdecode(path), line

    def _finish(self, parts: tuple[bytes, ...]) -> None:
        outcome, repository = self._outcome, self._repository
        outcome.gone = max(0, self._before.files - outcome.changed - outcome.unchanged)
        outcome.stored_bytes = repository.stored
        snapshot = Snapshot(
            id=new_id(self._started),
            number=self._before.number,
            source=self._source.name,
            host=socket.gethostname(),
            root=self._source.root,
            started=self._started,
            finished=datetime.now(UTC),
            files=outcome.files,
            folders=outcome.folders,
            links=outcome.links,
            size=outcome.bytes,
            left_out=outcome.left_out,
            stored=outcome.stored_bytes,
            parts=parts,
        )
        assert self._lock is not None  # noqa: S101
        self._lock.confirm()
        repository.put_snapshot(snapshot)
        try:
            self._lock.confirm()
        except LeaseLost:  # a prune may have removed meanwhile what this snapshot is made of
            repository.place.delete(snapshot_key(snapshot.id))
            raise
        outcome.snapshot = snapshot.id


def _times(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
