"""Removing snapshots by the rules of retention, and then what no snapshot needs.

It may be killed at any moment. New packs and the new index are there before anything that they replace goes;
what is left over is taken up, or removed, by the next prune.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from hopyard_file.backup.engine.catalog import INDEX_BLOBS, index_key, scratch
from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.locking import Lock
from hopyard_file.backup.engine.manifest import Entry, Snapshot, entries_of, snapshot_key
from hopyard_file.backup.engine.packs import Pack, pack_key
from hopyard_file.backup.engine.repository import Repository
from hopyard_file.backup.engine.retention import Keep, kept
from hopyard_file.backup.engine.telling import Tell

#: A pack is written anew when so much of it is needed by nobody.
WASTE: Final = 0.3


@dataclass(slots=True)
class Pruned:
    """What a prune did, or with a dry run would do."""

    kept: dict[str, list[str]] = field(default_factory=dict)
    """Snapshots that stay, with the reasons."""
    removed: list[str] = field(default_factory=list)
    packs_removed: int = 0
    packs_rewritten: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    note: str = ""


def prune(
    repository: Repository,
    lock: Lock,
    tell: Tell,
    keep: Keep,
    zone: tzinfo,
    *,
    damaged: Collection[str] = (),
    dry_run: bool = False,
) -> Pruned:
    """Remove what is past its retention. `repository` is loaded, `lock` is held alone (unless `dry_run`).

    While a snapshot that stays cannot be read, no blob is removed: nobody knows which ones it needs.
    """
    work = _Prune(repository, lock, tell, dry_run=dry_run)
    try:
        work.choose(keep, zone, damaged)
        if work.mark():
            work.sweep()
    finally:
        work.close()
    return work.done


class _Prune:
    def __init__(self, repository: Repository, lock: Lock, tell: Tell, *, dry_run: bool) -> None:
        self._repository = repository
        self._lock = lock
        self._tell = tell
        self._dry_run = dry_run
        self.done = Pruned(bytes_before=repository.catalog.bytes_stored())
        self.done.bytes_after = self.done.bytes_before
        self._staying: list[Snapshot] = []
        self._stays: set[str] = set()
        """Packs that are damaged, and yet needed."""
        self._scratch = scratch()
        self._scratch.execute("CREATE TABLE used (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def close(self) -> None:
        self._scratch.close()

    def choose(self, keep: Keep, zone: tzinfo, damaged: Collection[str]) -> None:
        """Remove the snapshots that are past their retention."""
        found, unreadable = self._repository.snapshots()
        lost = {one.id for one in found if one.id in damaged and self._is_lost(one)}
        self.done.kept = kept(found, keep, zone, damaged, lost)
        for id_, reason in unreadable.items():
            self.done.note = f"snapshot {id_} cannot be read ({reason}): only snapshots are removed, no data"
        for one in found:
            if one.id in self.done.kept:
                self._staying.append(one)
                continue
            self.done.removed.append(one.id)
            if not self._dry_run:
                self._alive(f"removing snapshot {one.id}")
                self._repository.place.delete(snapshot_key(one.id))

    def _is_lost(self, snapshot: Snapshot) -> bool:
        """Say whether no part of a snapshot's list can be read, so that nothing of it can be restored."""
        for part in snapshot.parts:
            self._alive(f"reading snapshot {snapshot.id}")
            with suppress(Damaged):
                self._repository.read(part)
                return False
        return True

    def mark(self) -> bool:
        """Note which blobs are needed; say whether that is known of all."""
        if self.done.note:
            return False
        for one in self._staying:
            for part in one.parts:
                self._alive(f"reading snapshot {one.id}")
                if not self._use(part):
                    continue
                try:
                    for entry in entries_of(self._repository.read(part)):
                        if entry.kind == "unreadable":
                            raise Damaged(entry.note)
                        self._use_all(entry)
                except Damaged as error:
                    self.done.note = f"snapshot {one.id}: {error}: only snapshots are removed, no data"
                    return False
        return True

    def sweep(self) -> None:
        """Remove packs that nobody needs, and write those anew that are needed for little."""
        whole: list[Pack] = []
        gone: list[str] = []
        self._scratch.execute("CREATE TABLE kept (name BLOB PRIMARY KEY) WITHOUT ROWID")
        for name in self._by_need():
            pack = Pack(name, self._repository.catalog.blobs(name))
            needed = [blob for blob in pack.blobs if self._needed(blob.name)]
            total = sum(blob.stored for blob in pack.blobs)
            if total and sum(blob.stored for blob in needed) >= (1 - WASTE) * total:
                whole.append(pack)
                self._scratch.executemany(
                    "INSERT OR IGNORE INTO kept VALUES (?)", [(b.name,) for b in needed]
                )
                continue
            gone.append(name)
            self.done.packs_removed += not needed
            self.done.packs_rewritten += bool(needed)
            self._copy(pack, [blob.name for blob in needed])
        if self._dry_run:
            return
        if gone or len(self._repository.indexes) > 1:
            self._replace(whole, gone)
        self._repository.place.tidy()
        self._forget_marks(gone)

    def _by_need(self) -> list[str]:
        """Return the packs, those first that are whole: of two copies the damaged one is not needed."""
        rows = self._repository.catalog.scratch.execute("SELECT name FROM pack ORDER BY bad, n")
        return [row[0] for row in rows.fetchall()]

    def _copy(self, pack: Pack, names: list[bytes]) -> None:
        kinds = {blob.name: blob for blob in pack.blobs}
        if self._dry_run:
            self.done.bytes_after -= sum(b.stored for b in pack.blobs if b.name not in set(names))
            return
        for name in names:
            self._alive(f"writing pack {pack.name[:12]}… anew")
            blob = kinds[name]
            try:
                data = self._repository.read(name)
            except Damaged:  # it stays where it is, for what can be saved of it
                self._keep_damaged(pack)
                return
            self._repository.add(blob.kind, name, data)
            self._scratch.execute("INSERT OR IGNORE INTO kept VALUES (?)", (name,))

    def _keep_damaged(self, pack: Pack) -> None:
        self.done.note = f"the pack {pack.name[:12]}… is damaged, and stays"
        self._stays.add(pack.name)

    def _replace(self, whole: list[Pack], gone: list[str]) -> None:
        """Store an index of all that stays, and remove the old ones and the packs that go."""
        repository = self._repository
        stays = self._stays
        gone[:] = [name for name in gone if name not in stays]
        old = [*repository.indexes]
        repository.flush()
        new = repository.new_packs
        batch: list[Pack] = [*whole, *(Pack(n, repository.catalog.blobs(n)) for n in (*new, *stays))]
        names = self._put_indexes(batch)
        self._lock.confirm()
        for name in {*old, *repository.indexes} - names:
            repository.place.delete(index_key(name))
        for name in gone:
            self._alive(f"removing pack {name[:12]}…")
            repository.place.delete(pack_key(name))
        self._count(gone, new)

    def _put_indexes(self, packs: list[Pack]) -> set[str]:
        names: set[str] = set()
        batch: list[Pack] = []
        for pack in packs:
            batch.append(pack)
            if sum(len(one.blobs) for one in batch) >= INDEX_BLOBS:
                names.add(self._repository.put_index(batch))
                batch = []
        if batch:
            names.add(self._repository.put_index(batch))
        return names

    def _count(self, gone: list[str], new: list[str]) -> None:
        sizes = dict(self._repository.catalog.scratch.execute("SELECT name, size FROM pack").fetchall())
        self.done.bytes_after -= sum(sizes.get(name, 0) for name in gone)
        self.done.bytes_after += sum(sizes.get(name, 0) for name in new)

    def _forget_marks(self, gone: list[str]) -> None:
        for name in gone:
            self._repository.place.delete(f"damaged/{name}")

    def _use_all(self, entry: Entry) -> None:
        for name in entry.chunks:
            self._use(name)
        if entry.listed:
            for name in self._repository.chunks(entry):
                self._use(name)

    def _use(self, name: bytes) -> bool:
        return bool(self._scratch.execute("INSERT OR IGNORE INTO used VALUES (?)", (name,)).rowcount)

    def _needed(self, name: bytes) -> bool:
        """Say whether a blob is needed here: by a snapshot, and not in a pack that stays."""
        used = self._scratch.execute("SELECT 1 FROM used WHERE name = ?", (name,)).fetchone()
        kept_already = self._scratch.execute("SELECT 1 FROM kept WHERE name = ?", (name,)).fetchone()
        return used is not None and kept_already is None

    def _alive(self, what: str) -> None:
        if not self._dry_run:
            self._lock.keep()
        self._tell(0, 0, 0, 0, what)
