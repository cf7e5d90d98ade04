"""One run of a connection, as connectors see it."""

from __future__ import annotations

import time as clock
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hopyard import redact, storage
from hopyard.storage import Transaction, new_id

from hopyard_sync.engine import state, stream
from hopyard_sync.errors import TooManyDeletions
from hopyard_sync.texts import storable

if TYPE_CHECKING:
    from hopyard import Job

    from hopyard_sync.engine.stream import StreamState
    from hopyard_sync.http.session import Session
    from hopyard_sync.records import Record

#: What is kept of things that were set aside, for each connection.
_MOST_SET_ASIDE: Final = 1000
_MOST_NOTES: Final = 20
#: So many deletions are not too many as long as half of what there was stays.
_FEW: Final = 5


@dataclass(slots=True)
class Counts:
    """What a run did, or would do."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    conflicts: int = 0
    set_aside: int = 0
    requests: int = 0
    quota: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Run:
    """A connection that is being synced by this job and no other.

    `options` is the connection's settings, or the connector's own model of them. `dry_run`: nothing may be
    changed. `force`: a person has agreed to many deletions. `full`: nothing that is known may be trusted.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        options: Any,
        *,
        job: Job | None = None,
        person: str | None = None,
        dry_run: bool = False,
        force: bool = False,
        full: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.options = options
        self.person = person
        self.dry_run = dry_run
        self.force = force
        self.full = full
        self.counts = Counts()
        self.holder = new_id()
        self._job = job
        self._renewed = clock.monotonic()
        self._aside: set[tuple[str, str]] | None = None

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the run is. Raises `JobCancelled` or `TimeLimitExceeded` where it should stop."""
        if self._job is not None:
            self._job.progress(done, total, f"{self.name}: {message}"[:1000])

    async def keep(self) -> None:
        """Keep the connection while nothing is stored for long. Raises `LeaseLost`."""
        if clock.monotonic() - self._renewed > state.LEASE.seconds / 5:
            async with self.transaction():
                return

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that is committed only while this run has the connection. Raises `LeaseLost`."""
        async with storage.transaction() as tx:
            await state.LEASE.renew(tx, self.name, self.holder)
            self._renewed = clock.monotonic()
            yield tx

    async def stream(self, name: str, source: str | None = None) -> StreamState:
        """Return where a stream stands.

        `source` stands for what it reads (`mark`): where that is another place than before, or is read in
        another way, the stream begins anew.
        """
        found = await stream.load(self.name, name)
        if source is None or source == found.source:
            return found
        if found.source is not None and (found.cursor, found.position) != (None, None):
            self.note(f"{name}: its settings have changed, so it is read from the beginning")
            found = found.anew()
        return replace(found, source=source)

    async def store(self, stream: StreamState, rows: Sequence[Record], *, completed: bool = False) -> None:
        """Upsert rows into `sync_record`, and store where the stream stands behind them, in one transaction.

        With `dry_run` rows are counted only. `completed` says that the stream's pass is over.
        """
        from hopyard_sync import records

        if self.dry_run:
            await records.count(self, stream, rows)
            return
        async with self.transaction() as tx:
            await records.upsert(self, tx, stream, rows)
            await stream.save(tx, completed=completed)

    async def set_aside(self, stream: str, found: Iterable[tuple[str, str, str]]) -> None:
        """Keep what could not be taken over: its name, the reason and its beginning. The rest goes on.

        What is set aside again takes the place of what was kept of it.
        """
        rows = [
            (
                new_id(),
                self.name,
                stream,
                *map(storable, (what[:500], redact(reason)[:1000], redact(content)[:2000])),
            )
            for what, reason, content in found
        ]
        self.counts.set_aside += len(rows)
        if not rows or self.dry_run:
            return
        self._aside = None
        async with self.transaction() as tx:
            await tx.execute(
                "DELETE FROM sync_set_aside WHERE connection = $1 AND stream = $2 "
                f"AND what {tx.sql.texts('$3')}",
                self.name,
                stream,
                storage.listed(row[3] for row in rows),
            )
            await tx.execute_many(
                "INSERT INTO sync_set_aside (id, connection, stream, what, reason, content, at) "
                f"VALUES ($1, $2, $3, $4, $5, $6, {tx.sql.now})",
                rows,
            )
            await tx.execute(
                "DELETE FROM sync_set_aside WHERE connection = $1 AND id NOT IN "
                "(SELECT id FROM sync_set_aside WHERE connection = $1 ORDER BY id DESC LIMIT "
                f"{_MOST_SET_ASIDE})",
                self.name,
            )

    async def taken(self, tx: Transaction, stream: str, names: Iterable[str]) -> None:
        """Say that things could be taken over: what was set aside of them before is over."""
        if self._aside is None:
            rows = await tx.fetch("SELECT stream, what FROM sync_set_aside WHERE connection = $1", self.name)
            self._aside = {(row["stream"], row["what"]) for row in rows}
        over = {name for name in names if (stream, name) in self._aside} if self._aside else ()
        if over:
            self._aside -= {(stream, name) for name in over}
            await tx.execute(
                "DELETE FROM sync_set_aside WHERE connection = $1 AND stream = $2 "
                f"AND what {tx.sql.texts('$3')}",
                self.name,
                stream,
                storage.listed(over),
            )

    def note(self, text: str) -> None:
        """Tell something in the report."""
        if len(self.counts.notes) < _MOST_NOTES and text not in self.counts.notes:
            self.counts.notes.append(redact(text)[:500])

    def count_requests(self, session: Session) -> None:
        """Add what a session has asked to the report."""
        self.counts.requests += session.requests
        self.counts.quota |= session.quota

    def check_deletions(self, where: str, deleted: int, of: int, share: float) -> None:
        """Raise `TooManyDeletions` where a run would delete more than its share, unless a person agreed.

        `of` is how many are there. One may always go, and up to five as long as half of them stay; but never
        all of several, whatever the share.
        """
        few = deleted <= 1 or (deleted <= _FEW and 2 * deleted <= of)
        emptied = deleted >= of > 1
        if not emptied and (few or deleted <= share * of):
            return
        told = f"{self.name}: {deleted} of {of} would be deleted {where}"
        if self.dry_run:
            self.note(f"{told}: without --force that is refused")
        elif not self.force:
            raise TooManyDeletions(
                f"{told}, which is more than it may (`most_deletions` {share:g}); nothing was deleted. "
                f"If that is right: hopyard sync run {self.name} --force"
            )
