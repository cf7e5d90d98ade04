"""Restoring: files of a snapshot are made below a target, and nowhere else.

Every folder is opened from the one above it, links refused, so that neither a link in the target nor one that
a hostile snapshot makes first leads a file out of it. Files are written beside their place under another name
and renamed once they are whole. Links come last.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from hopyard import trees
from hopyard.errors import InvalidInput, ResourceError

from hopyard_file.backup.engine.catalog import scratch
from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.locking import Lock
from hopyard_file.backup.engine.manifest import Entry, Snapshot, entries_of
from hopyard_file.backup.engine.outcomes import Restored, Wish
from hopyard_file.backup.engine.placing import (
    NEW,
    Opened,
    make_target,
    open_folder,
    put,
    read_exactly,
    set_attributes,
    temporary_name,
    write_or_skip,
)
from hopyard_file.backup.engine.repository import Repository
from hopyard_file.backup.engine.telling import Tell


def restore(
    repository: Repository, snapshot: Snapshot, target: str, wish: Wish, lock: Lock, tell: Tell
) -> Restored:
    """Restore what `wish` names into the directory `target`, an absolute path without links in it.

    The directory is made if the one above is there. Raises `InvalidInput` for a target that cannot be used,
    and paths that the snapshot does not have; what is the matter with single files is in the outcome.
    """
    work = _Restore(repository, snapshot, target, wish, lock, tell)
    try:
        return work.run()
    finally:
        work.close()


class _Restore:
    def __init__(
        self, repository: Repository, snapshot: Snapshot, target: str, wish: Wish, lock: Lock, tell: Tell
    ) -> None:
        self._repository = repository
        self._snapshot = snapshot
        self._target = target
        self._wish = wish
        self._lock = lock
        self._tell = tell
        self.done = Restored()
        self._seen_paths: set[str] = set()
        self._scratch = scratch()
        self._scratch.execute("CREATE TABLE later (path BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID")

    def close(self) -> None:
        self._scratch.close()

    def run(self) -> Restored:
        if not self._wish.dry_run:
            make_target(self._target)
        for entry in self._entries():
            self._alive(entry.path)
            if entry.kind == "folder":
                self._folder(entry)
            elif entry.kind == "link":
                self._later(entry)
            elif entry.kind == "file":
                self._file(entry)
            elif entry.kind == "unreadable":
                self.done.fail(entry.path, entry.note)
            else:
                self.done.note(entry.path, f"is not in the backup: {entry.note}")
        self._refuse_unknown()
        for line in self._scratch.execute("SELECT line FROM later ORDER BY path DESC").fetchall():
            self._finish(next(entries_of(line[0])))
        if not self._wish.dry_run:
            os.sync()  # once for all, which takes a tenth of the time of once for each
        return self.done

    def _entries(self) -> Iterator[Entry]:
        for part in self._snapshot.parts:
            try:
                entries = [*entries_of(self._repository.read(part))]
            except Damaged as error:
                self.done.fail("", f"a part of the list of files is damaged: {error}")
                continue
            for entry in entries:
                wanted = self._wish.taking(entry.path)
                self._seen_paths.update(wanted)
                if wanted or not self._wish.paths or self._may_lead_there(entry):
                    yield entry

    def _may_lead_there(self, entry: Entry) -> bool:
        if entry.kind == "unreadable":
            return entry.path == ""
        return entry.kind == "folder" and self._wish.leads_to(entry.path)

    def _refuse_unknown(self) -> None:
        missing = [path for path in self._wish.paths if path not in self._seen_paths]
        if missing:
            told = ", ".join(trees.shown(path) for path in missing[:10])
            raise InvalidInput(f"the snapshot {self._snapshot.id} does not have: {told}")

    def _alive(self, what: str) -> None:
        self._lock.keep()
        self._tell(self.done.files, self.done.bytes, self._snapshot.files, self._snapshot.size, what)

    # --- folders and links

    def _later(self, entry: Entry) -> None:
        """Keep what is done at the end: links, and the modes and times of folders."""
        self._scratch.execute(
            "INSERT OR REPLACE INTO later VALUES (?, ?)", (os.fsencode(entry.path), entry.line())
        )

    def _folder(self, entry: Entry) -> None:
        self._later(entry)
        if self._wish.dry_run or entry.path == "":
            return
        with self._item(entry.path), self._above(entry.path) as (above, name), suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
            self.done.folders += 1

    def _finish(self, entry: Entry) -> None:
        if entry.kind == "link":
            self._link(entry)
        elif not self._wish.dry_run and entry.path != "":
            with self._item(entry.path), closing(Opened(open_folder(self._target, entry.path))) as folder:
                self._set_attributes(folder.descriptor, entry)

    def _link(self, entry: Entry) -> None:
        if self._wish.dry_run:
            self.done.links += 1
            return
        with self._item(entry.path), self._above(entry.path) as (above, name):
            try:
                os.symlink(entry.target, name, dir_fd=above)
            except FileExistsError:
                if not self._replaces_link(entry, name, above):
                    return
            with suppress(OSError, OverflowError):
                os.utime(name, ns=(entry.modified, entry.modified), dir_fd=above, follow_symlinks=False)
            self.done.links += 1

    def _replaces_link(self, entry: Entry, name: str, above: int) -> bool:
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=above) == entry.target:
            self.done.already += 1
            return False
        if self._wish.existing == "keep" or stat.S_ISDIR(status.st_mode):
            self.done.kept += 1
            self.done.note(entry.path, "something else is there, and was left alone")
            return False
        os.unlink(name, dir_fd=above)
        os.symlink(entry.target, name, dir_fd=above)
        return True

    # --- files

    def _file(self, entry: Entry) -> None:
        if self._wish.dry_run:
            self._preview(entry)
            return
        with self._item(entry.path), self._above(entry.path) as (above, name):
            temporary = temporary_name(name)
            with suppress(FileNotFoundError):  # of a restore that was killed
                os.unlink(temporary, dir_fd=above)
            if self._leaves_alone(entry, name, above):
                return
            try:
                self._write(entry, temporary, above)
                put(temporary, name, above, replace=self._wish.existing == "replace")
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=above)
                raise
            self.done.files += 1
            self.done.bytes += entry.size

    def _preview(self, entry: Entry) -> None:
        with self._item(entry.path):
            try:
                with self._above(entry.path) as (above, name):
                    if self._leaves_alone(entry, name, above):
                        return
            except FileNotFoundError:  # not even its folder is there
                pass
            self.done.files += 1
            self.done.bytes += entry.size

    def _leaves_alone(self, entry: Entry, name: str, above: int) -> bool:
        """Say whether a file is there already and stays."""
        try:
            status = os.stat(name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if stat.S_ISREG(status.st_mode) and status.st_size == entry.size and self._same(entry, name, above):
            self.done.already += 1
            return True
        if self._wish.existing == "replace" and not stat.S_ISDIR(status.st_mode):
            return False
        self.done.kept += 1
        self.done.note(entry.path, "another file is there, and was left alone")
        return True

    def _same(self, entry: Entry, name: str, above: int) -> bool:
        """Say whether the file that is there has the snapshot's content, and set its attributes if so."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with closing(Opened(os.open(name, flags, dir_fd=above))) as file:
            for chunk in self._repository.chunks(entry):
                raw = self._repository.catalog.raw(chunk)
                if raw is None or self._repository.seals.name(read_exactly(file.descriptor, raw)) != chunk:
                    return False
            if not self._wish.dry_run:
                self._set_attributes(file.descriptor, entry)
        return True

    def _write(self, entry: Entry, temporary: str, above: int) -> None:
        with closing(Opened(os.open(temporary, NEW, 0o600, dir_fd=above))) as file:
            descriptor, size = file.descriptor, 0
            for chunk in self._repository.chunks(entry):
                data = self._repository.read(chunk)
                size += len(data)
                if size > entry.size:
                    break
                write_or_skip(descriptor, data)
                self._alive(entry.path)
            if size != entry.size:
                raise Damaged(f"its pieces make other than its {entry.size:,} bytes")
            os.ftruncate(descriptor, size)
            self._set_attributes(descriptor, entry)

    def _set_attributes(self, descriptor: int, entry: Entry) -> None:
        if (note := set_attributes(descriptor, entry, owners=self._wish.owners)) is not None:
            self.done.note(entry.path, note)

    # --- the way to them

    @contextmanager
    def _item(self, path: str) -> Iterator[None]:
        """What goes wrong in the block is the matter of this one thing."""
        try:
            yield
        except (Damaged, OSError, ValueError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ResourceError(
                    f"the target's disk is full: {trees.shown(path)} was being written"
                ) from None
            said = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENOTDIR):
                said = "a folder on the way to it is a link, or no folder"
            self.done.fail(path, said)

    @contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """Give a descriptor of the folder that something is in, and its name there."""
        folder, _, name = path.rpartition("/")
        with closing(Opened(open_folder(self._target, folder))) as above:
            yield above.descriptor, name
