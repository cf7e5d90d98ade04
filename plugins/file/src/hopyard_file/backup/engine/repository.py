"""A repository: opened with its key, written blob by blob, read blob by blob.

config                 which repository, how it is encrypted, the key closed for its owners
packs/SHA256           blobs: pieces of files, and of lists of files
index/SHA256           which blobs are in which packs
snapshots/TIME-RANDOM  finished backups; the last thing that a backup writes
locks/…  damaged/…     who is at work; packs in which a check found damage
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

from hopyard.errors import AuthenticationError, InvalidInput

from hopyard_file.backup.engine import catalog as catalogs
from hopyard_file.backup.engine.catalog import INDEX_BLOBS, Catalog, dump_index, index_key
from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.keyring import Keyring
from hopyard_file.backup.engine.manifest import (
    Entry,
    Snapshot,
    entries_of,
    is_snapshot,
    load_snapshot,
    snapshot_key,
)
from hopyard_file.backup.engine.packs import MAX_PACK, Pack, PackReader, PackWriter, pack_key
from hopyard_file.backup.engine.places import Place
from hopyard_file.backup.engine.sealing import MAX_RAW, Seals

Encryption = Literal["age", "none"]

_CONFIG: Final = "config"
_MAX_CONFIG: Final = 1 << 20
#: Packs that are kept in memory while blobs are read.
_PACKS_IN_MEMORY: Final = 4


class Repository:
    """Made by `open_repository`. `catalog` is there once `load` was called."""

    def __init__(self, place: Place, seals: Seals, id_: str, *, writable: bool) -> None:
        self.place = place
        self.seals = seals
        self.id = id_
        self.writable = writable
        self.catalog = Catalog()
        self.indexes: list[str] = []
        self.wrong: list[str] = []
        """What was found to be damaged when it was loaded."""
        self.stored = 0
        """Bytes of the packs that were written."""
        self.new_packs: list[str] = []
        self._writer: PackWriter | None = None
        self._unindexed: list[Pack] = []
        self._cache: OrderedDict[str, PackReader] = OrderedDict()

    def load(self) -> None:
        """Read which blobs there are."""
        self.catalog.close()
        self.catalog, self.indexes, self.wrong = catalogs.load(self.place, self.seals)

    def close(self) -> None:
        """Forget what was read."""
        self.catalog.close()
        self._cache.clear()

    # --- writing

    def add(self, kind: int, name: bytes, data: bytes | memoryview) -> None:
        """Store a blob that is not there yet; it is there for good after `flush`."""
        self.add_squeezed(kind, name, len(data), self.seals.squeezed(data))

    def add_squeezed(self, kind: int, name: bytes, raw: int, squeezed: bytes) -> None:
        """As `add`, for one that is compressed already."""
        if not self.writable:
            raise AuthenticationError(
                "none of the `identities` vouches for the repository's key: it is only read"
            )
        if self._writer is None:
            self._writer = PackWriter(self.seals)
        self._writer.add(kind, name, raw, squeezed)
        if self._writer.full:
            self._store_pack()

    def pending(self, name: bytes) -> bool:
        """Say whether a blob is in the pack that is being filled."""
        return self._writer is not None and name in self._writer.names

    def flush(self) -> None:
        """Store what was added, and the index of it."""
        if self._writer is not None and self._writer.blobs:
            self._store_pack()
        self._store_index()

    def _store_pack(self) -> None:
        assert self._writer is not None  # noqa: S101 - for the type checker
        pack = self._writer.store(self.place)
        self.stored += self._writer.stored_length
        self.catalog.add([pack], size=self._writer.stored_length)
        self._writer = None
        self.new_packs.append(pack.name)
        self._unindexed.append(pack)
        if sum(len(one.blobs) for one in self._unindexed) >= INDEX_BLOBS:
            self._store_index()

    def _store_index(self) -> None:
        if self._unindexed:
            self.indexes.append(self.put_index(self._unindexed))
            self._unindexed = []

    def put_index(self, packs: Sequence[Pack]) -> str:
        """Store an index of packs; return its name."""
        data = dump_index(packs)
        name = hashlib.sha256(data).hexdigest()
        self.place.put(index_key(name), self.seals.close_object(data, index_key(name)))
        return name

    # --- reading

    def read(self, name: bytes) -> bytes:
        """Return a blob. Raises `Damaged` if no copy of it is whole."""
        reason = "it is missing"
        for where in self.catalog.find(name):
            try:
                return self._reader(where.pack).blob(where.number, where.start, where.blob)
            except FileNotFoundError:
                reason = f"the pack {where.pack[:12]}… is missing"
            except Damaged as error:
                reason = f"the pack {where.pack[:12]}…: {error}"
        raise Damaged(f"a blob cannot be read: {reason}")

    def _reader(self, pack: str) -> PackReader:
        if pack in self._cache:
            self._cache.move_to_end(pack)
            return self._cache[pack]
        made = PackReader(self.seals, self.place.get(pack_key(pack), MAX_PACK))
        self._cache[pack] = made
        if len(self._cache) > _PACKS_IN_MEMORY:
            self._cache.popitem(last=False)
        return made

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Yield the names of the blobs that make up a file. Raises `Damaged`."""
        if not entry.listed:
            yield from entry.chunks
            return
        for part in entry.chunks:
            data = self.read(part)
            if len(data) % 32:
                raise Damaged("a list of blobs is cut off")
            for at in range(0, len(data), 32):
                yield data[at : at + 32]

    # --- snapshots

    def snapshot_ids(self) -> list[str]:
        """Return the ids of all snapshots, the oldest first."""
        return sorted(one.name for one in self.place.listed("snapshots") if is_snapshot(one.name))

    def snapshot(self, id_: str) -> Snapshot:
        """Return a snapshot. Raises `Damaged`, `InvalidInput` if there is none."""
        key = snapshot_key(id_)
        if not is_snapshot(id_):
            raise InvalidInput(
                f"found the snapshot {id_[:80]!r}, expected an id such as 20261129T010000000Z-1f2e3d4c"
            )
        try:
            data = self.place.get(key, MAX_RAW)
        except FileNotFoundError:
            raise InvalidInput(f"there is no snapshot {id_} in the repository") from None
        return load_snapshot(id_, self.seals.open_object(data, key))

    def snapshots(self, source: str | None = None) -> tuple[list[Snapshot], dict[str, str]]:
        """Return the snapshots of a source, or all, the oldest first; and which cannot be read, and why.

        Those that cannot be read may be of any source.
        """
        found, wrong = list[Snapshot](), dict[str, str]()
        for id_ in self.snapshot_ids():
            try:
                one = self.snapshot(id_)
            except Damaged as error:
                wrong[id_] = str(error)
            except InvalidInput:  # a prune has just removed it
                continue
            else:
                if source is None or one.source == source:
                    found.append(one)
        return sorted(found, key=Snapshot.age), wrong

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot: with this one write it is finished."""
        key = snapshot_key(snapshot.id)
        self.place.put(key, self.seals.close_object(snapshot.dump(), key), only_new=True)

    def entries(self, snapshot: Snapshot) -> Iterator[Entry]:
        """Yield the entries of a snapshot, in order, `unreadable` ones too. Raises `Damaged`."""
        for part in snapshot.parts:
            yield from entries_of(self.read(part))


def open_repository(
    place: Place, encryption: Encryption, keyring: Keyring, *, create: bool = False
) -> Repository:
    """Open a repository, or make one with `create`.

    Raises `InvalidInput` if there is none, or it is encrypted otherwise than the settings say, and
    `AuthenticationError` where its key does not open.
    """
    try:
        config = _read_config(place)
    except FileNotFoundError:
        if not create:
            raise InvalidInput("there is no repository yet: it is made by the first backup") from None
        config = _create(place, encryption, keyring)
    found = config.get("encryption")
    if found != encryption:
        raise InvalidInput(f'the repository says encryption = "{found}", the settings say "{encryption}"')
    id_ = str(config.get("id"))
    if encryption == "none":
        return Repository(place, Seals(None), id_, writable=True)
    master, vouched = keyring.open(config)
    if create and vouched and not keyring.is_current(config):
        place.put(_CONFIG, _config(id_, keyring.closed(master)))
    return Repository(place, Seals(master), id_, writable=vouched)


def _read_config(place: Place) -> dict[str, Any]:
    data = place.get(_CONFIG, _MAX_CONFIG)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Damaged("the repository's config cannot be read") from None
    if not isinstance(found, dict) or found.get("format") != "hopyard backup" or found.get("version") != 1:
        raise Damaged("the repository's config is none that this version knows")
    return found


def _create(place: Place, encryption: Encryption, keyring: Keyring) -> dict[str, Any]:
    if any(True for folder in ("packs", "snapshots") for _ in place.listed(folder)):
        raise Damaged("the repository has packs but no config: without its key nothing in it can be read")
    key = {} if encryption == "none" else keyring.closed(keyring.new_key())
    with suppress(FileExistsError):  # another backup was faster
        place.put(_CONFIG, _config(uuid.uuid4().hex, {"encryption": encryption, **key}), only_new=True)
    return _read_config(place)


def _config(id_: str, key: dict[str, Any]) -> bytes:
    made = {"format": "hopyard backup", "version": 1, "id": id_, "encryption": "age", **key}
    return json.dumps(made, indent=1).encode()
