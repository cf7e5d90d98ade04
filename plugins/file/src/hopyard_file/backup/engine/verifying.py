"""Reading a repository back: is every byte as it was written, and is everything there that snapshots need?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hopyard_file.backup.engine.catalog import scratch
from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.locking import Lock
from hopyard_file.backup.engine.manifest import Entry, Snapshot, entries_of
from hopyard_file.backup.engine.packs import MAX_PACK, PackReader, pack_key, placed
from hopyard_file.backup.engine.repository import Repository
from hopyard_file.backup.engine.telling import Tell

_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a snapshot that cannot be restored whole. Without a path it is the snapshot's own list."""

    snapshot: str
    source: str
    path: str
    reason: str


@dataclass(slots=True)
class Checked:
    """What a check found."""

    packs: int = 0
    all_packs: int = 0
    bytes: int = 0
    blobs: int = 0
    snapshots: int = 0
    damage: list[Damage] = field(default_factory=list)
    """The first thousand."""
    damaged_files: int = 0
    damaged_snapshots: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Objects of the repository that are damaged, whether or not a snapshot needs them."""

    @property
    def ok(self) -> bool:
        """Whether all that was looked at is whole."""
        return not (self.damaged_files or self.damaged_snapshots or self.wrong)


def verify(
    repository: Repository, lock: Lock, tell: Tell, *, share: float = 1.0, also: Sequence[str] = ()
) -> Checked:
    """Read a share (0 to 1) of the packs, at random, and those in `also`; and the lists of all snapshots.

    Packs that are damaged are marked: what is in them is stored anew by the next backup that has it.
    """
    check = _Check(repository, lock, tell)
    try:
        check.packs(share, also)
        check.snapshots()
    finally:
        check.close()
    return check.found


class _Check:
    def __init__(self, repository: Repository, lock: Lock, tell: Tell) -> None:
        self._repository = repository
        self._lock = lock
        self._tell = tell
        self.found = Checked(wrong=[*repository.wrong])
        self._scratch = scratch()
        self._scratch.execute("CREATE TABLE bad (name BLOB PRIMARY KEY, reason TEXT) WITHOUT ROWID")
        self._scratch.execute("CREATE TABLE part (name BLOB PRIMARY KEY) WITHOUT ROWID")
        self._scratch.execute("CREATE TABLE harm (part BLOB, path TEXT, reason TEXT)")
        self._scratch.execute("CREATE INDEX harm_part ON harm (part)")

    def close(self) -> None:
        self._scratch.close()

    # --- packs

    def packs(self, share: float, also: Sequence[str]) -> None:
        names = self._repository.catalog.packs()
        self.found.all_packs = len(names)
        wanted = set(also)
        chosen = [name for name in names if share >= 1 or name in wanted or random.random() < share]  # noqa: S311
        for n, name in enumerate(chosen):
            self._lock.keep()
            self._tell(n, self.found.bytes, len(chosen), 0, f"pack {name[:12]}…")
            self._pack(name)

    def _pack(self, name: str) -> None:
        repository = self._repository
        blobs = repository.catalog.blobs(name)
        try:
            data = repository.place.get(pack_key(name), MAX_PACK)
            reader = PackReader(repository.seals, data)
        except (FileNotFoundError, Damaged) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else str(error)
            self._wrong_pack(name, reason)
            self._scratch.executemany(
                "INSERT OR IGNORE INTO bad VALUES (?, ?)", [(blob.name, reason) for blob in blobs]
            )
            return
        self.found.packs += 1
        self.found.bytes += len(data)
        if not reader.is_named(name):
            self._wrong_pack(name, "its bytes have changed")
        for number, start, blob in placed(blobs):
            self.found.blobs += 1
            try:
                reader.blob(number, start, blob)
            except Damaged as error:
                self._scratch.execute("INSERT OR IGNORE INTO bad VALUES (?, ?)", (blob.name, str(error)))

    def _wrong_pack(self, name: str, reason: str) -> None:
        self.found.wrong.append(f"{pack_key(name)}: {reason}")
        if self._repository.writable:
            self._repository.place.put(f"damaged/{name}", b"")
        self._repository.catalog.mark_bad(name)

    # --- snapshots

    def snapshots(self) -> None:
        found, unreadable = self._repository.snapshots()
        for id_, reason in unreadable.items():
            self._harm(Damage(id_, "", "", reason))
            self.found.damaged_snapshots.append(id_)
        for n, one in enumerate(found):
            self._lock.keep()
            self._tell(n, self.found.bytes, len(found), 0, f"snapshot {one.id}")
            self.found.snapshots += 1
            if not self._snapshot(one):
                self.found.damaged_snapshots.append(one.id)

    def _snapshot(self, snapshot: Snapshot) -> bool:
        whole = True
        for number, part in enumerate(snapshot.parts):
            for path, reason in self._harms(part, number):
                whole = False
                self._harm(Damage(snapshot.id, snapshot.source, path, reason))
        return whole

    def _harm(self, damage: Damage) -> None:
        self.found.damaged_files += bool(damage.path)
        if len(self.found.damage) < _MOST:
            self.found.damage.append(damage)

    def _harms(self, part: bytes, number: int) -> Iterator[tuple[str, str]]:
        """Yield what is the matter with the files of a part; each part is looked at once."""
        if not self._scratch.execute("INSERT OR IGNORE INTO part VALUES (?)", (part,)).rowcount:
            yield from self._scratch.execute(
                "SELECT path, reason FROM harm WHERE part = ?", (part,)
            ).fetchall()
            return
        for path, reason in self._look(part, number):
            self._scratch.execute("INSERT INTO harm VALUES (?, ?, ?)", (part, _plain(path), reason))
            yield path, reason

    def _look(self, part: bytes, number: int) -> Iterator[tuple[str, str]]:
        try:
            entries = [*entries_of(self._repository.read(part))]
        except Damaged as error:
            yield "", f"part {number + 1} of its list of files: {error}"
            return
        for entry in entries:
            if entry.kind == "unreadable":
                yield entry.path, entry.note
            elif entry.kind == "file" and (reason := self._reason(entry)):
                yield entry.path, reason

    def _reason(self, entry: Entry) -> str | None:
        """Say why a file cannot be restored whole; None if it can, as far as was looked."""
        total = 0
        try:
            for name in self._repository.chunks(entry):
                raw = self._repository.catalog.raw(name)
                if raw is None:
                    return "a piece of it is missing"
                total += raw
                if (bad := self._bad(name)) is not None:
                    return bad
        except Damaged as error:
            return str(error)
        return None if total == entry.size else f"it has {total:,} bytes, expected {entry.size:,}"

    def _bad(self, name: bytes) -> str | None:
        row = self._scratch.execute("SELECT reason FROM bad WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        try:  # there may be another copy of it, which is whole
            self._repository.read(name)
        except Damaged:
            return f"a piece of it is damaged: {row[0]}"
        return None


def _plain(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()
