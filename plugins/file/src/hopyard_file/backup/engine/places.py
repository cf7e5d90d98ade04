"""Where the objects of a repository are: a directory, or an object store.

Both write an object whole or not at all, and neither follows links: a directory that somebody else may write
to must lead nowhere else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from hopyard import trees
from hopyard.errors import AuthenticationError, InvalidInput, ResourceError, TransientError

from hopyard_file.backup.engine.errors import Damaged

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_TEMPORARY: Final = ".new-"
_PAGE: Final = 1_000


class Stored(NamedTuple):
    """An object as it is listed; `modified` is in seconds since 1970, by the clock of the place."""

    name: str
    size: int
    modified: float


class Place(Protocol):
    """Holds objects under keys such as `packs/0f3a…`: a folder, and a name in it."""

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Store an object, durably and at once. With `only_new` raises `FileExistsError` if it is there."""

    def get(self, key: str, most: int) -> bytes:
        """Return an object. Raises `FileNotFoundError`, and `Damaged` if it is longer than `most`."""

    def part(self, key: str, start: int, length: int) -> bytes:
        """Return some bytes of an object, fewer where it is shorter. Raises `FileNotFoundError`."""

    def listed(self, folder: str) -> Iterator[Stored]:
        """Yield the objects of a folder."""

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""

    def tidy(self) -> None:
        """Remove what interrupted writers have left behind, while nobody else writes."""


class DirectoryPlace:
    """A directory of this machine. It is made when something is first put into it."""

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/")

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        folder, _, name = key.rpartition("/")
        with self._folder(folder, make=True) as descriptor:
            temporary = f"{_TEMPORARY}{os.urandom(8).hex()}"
            try:
                _write(temporary, data, descriptor)
                if only_new:
                    os.link(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
                    os.unlink(temporary, dir_fd=descriptor)
                else:
                    os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
                os.fsync(descriptor)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=descriptor)
                raise

    def get(self, key: str, most: int) -> bytes:
        with self._file(key) as descriptor:
            size = os.fstat(descriptor).st_size
            if size > most:
                raise Damaged(f"{key} has {size:,} bytes, expected at most {most:,}")
            return _read(descriptor, 0, size)

    def part(self, key: str, start: int, length: int) -> bytes:
        with self._file(key) as descriptor:
            return _read(descriptor, start, length)

    def listed(self, folder: str) -> Iterator[Stored]:
        try:
            with self._folder(folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode) and not entry.name.startswith(_TEMPORARY):
                            yield Stored(entry.name, status.st_size, status.st_mtime)
        except FileNotFoundError:
            return

    def delete(self, key: str) -> None:
        folder, _, name = key.rpartition("/")
        with suppress(FileNotFoundError), self._folder(folder) as descriptor:
            os.unlink(name, dir_fd=descriptor)

    def tidy(self) -> None:
        for folder in ("", "packs", "index", "snapshots", "locks", "damaged"):
            with suppress(FileNotFoundError), self._folder(folder) as descriptor:
                for name in os.listdir(descriptor):
                    if name.startswith(_TEMPORARY):
                        os.unlink(name, dir_fd=descriptor)

    @contextmanager
    def _folder(self, folder: str, *, make: bool = False) -> Iterator[int]:
        path = f"{self._path}/{folder}" if folder else self._path
        try:
            descriptor = trees.open_directory(path)
        except FileNotFoundError:
            if not make:
                raise
            self._make(folder)
            descriptor = trees.open_directory(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _make(self, folder: str) -> None:
        """Make the directory and a folder in it; what is above must be there, since it may be a mount."""
        above, _, own = self._path.rpartition("/")
        for path, name in ((above or "/", own), *([(self._path, folder)] if folder else [])):
            try:
                descriptor = trees.open_directory(path)
            except FileNotFoundError:
                raise InvalidInput(
                    f"{path}: there is no such directory, in which the repository would be"
                ) from None
            try:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=descriptor)
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _file(self, key: str) -> Iterator[int]:
        try:
            descriptor = trees.open_file(self._path, key)
        except InvalidInput as error:
            raise Damaged(str(error)) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class ObjectPlace:
    """A prefix of an object store (S3, Azure, GCS), by obstore."""

    def __init__(self, store: ObjectStore, prefix: str = "") -> None:
        self._store = store
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        import obstore

        mode: Any = "create" if only_new else "overwrite"
        with _translated(key):
            obstore.put(self._store, self._prefix + key, data, mode=mode, use_multipart=False)

    def get(self, key: str, most: int) -> bytes:
        import obstore

        with _translated(key):
            found = obstore.get(self._store, self._prefix + key)
            if found.meta["size"] > most:
                raise Damaged(f"{key} has {found.meta['size']:,} bytes, expected at most {most:,}")
            return bytes(found.bytes())

    def part(self, key: str, start: int, length: int) -> bytes:
        import obstore

        with _translated(key):
            return bytes(obstore.get_range(self._store, self._prefix + key, start=start, length=length))

    def listed(self, folder: str) -> Iterator[Stored]:
        import obstore

        prefix = f"{self._prefix}{folder}/"
        pages = iter(obstore.list(self._store, prefix, chunk_size=_PAGE))
        while True:
            with _translated(prefix):
                page = next(pages, None)
            if page is None:
                return
            for one in page:
                name = str(one["path"])[len(prefix) :]
                if "/" not in name:
                    yield Stored(name, int(one["size"]), one["last_modified"].timestamp())

    def delete(self, key: str) -> None:
        import obstore

        with suppress(FileNotFoundError), _translated(key):
            obstore.delete(self._store, self._prefix + key)

    def tidy(self) -> None:
        """Do nothing: an object store drops what was not written whole."""


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Raise obstore's errors as those of tasks."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise FileExistsError(errno.EEXIST, "is there already", key) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise AuthenticationError(f"{key}: {_first_line(error)}") from None
    except (FileNotFoundError, exceptions.NotFoundError):
        raise FileNotFoundError(errno.ENOENT, "is not there", key) from None
    except exceptions.BaseError as error:
        raise TransientError(f"{key}: {type(error).__name__}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:300]


def _write(name: str, data: bytes, directory: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"the repository's disk is full: {error}") from None
        raise
    finally:
        os.close(descriptor)


def _read(descriptor: int, start: int, length: int) -> bytes:
    parts = []
    while length > 0:
        part = os.pread(descriptor, min(length, 1 << 24), start)
        if not part:
            break
        parts.append(part)
        start, length = start + len(part), length - len(part)
    return b"".join(parts)
