"""The table `sync_event` as a side of a calendar, and as the store of events that come one way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard.storage import Transaction, derived_id

from hopyard_sync.calendars.lines import MAX_NAME
from hopyard_sync.calendars.merge import Version
from hopyard_sync.calendars.sides import Listing, Read, Write, Written
from hopyard_sync.engine.run import Run
from hopyard_sync.texts import storable


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored. `series` is the name of the row that it is an occurrence of, if it is one."""

    name: str
    uid: str
    ics: str
    series: str | None = None


def etag_of(text: str) -> str:
    """Return the version of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def etag_in(values: tuple[Any, ...]) -> str:
    """Return the version of a prepared event."""
    return str(values[5])


def event_id(connection: str, name: str) -> str:
    """Return the id by which people and models name an event."""
    return derived_id("sync.event", connection, name)


def values(connection: str, row: EventRow) -> tuple[Any, ...]:
    """Return an event as `put` takes it. Raises `InvalidInput` for what the table cannot hold or nobody read.

    Large events take a second: to be called in a thread, before any transaction.
    """
    from hopyard_sync.calendars.expansion import extent

    for what, text in (("name", row.name), ("UID", row.uid)):
        if not 0 < len(text.encode(errors="replace")) <= MAX_NAME or text != storable(text):
            raise InvalidInput(f"found the {what} {text[:60]!r}, expected at most {MAX_NAME:,} octets")
    text = storable(row.ics)
    starts, ends = extent(text)
    id_ = event_id(connection, row.name)
    return (connection, row.name, id_, row.uid, row.series, etag_of(text), text, starts, ends)


async def prepared(connection: str, rows: Sequence[EventRow]) -> list[tuple[Any, ...]]:
    """Return events as `put` takes them. Raises `InvalidInput`."""
    return await asyncio.to_thread(lambda: [values(connection, row) for row in rows])


async def put(tx: Transaction, rows: Iterable[tuple[Any, ...]], pass_number: int = 0) -> None:
    """Insert or replace prepared events."""
    await tx.execute_many(
        "INSERT INTO sync_event (connection, name, id, uid, series, etag, ics, starts, ends, pass_number, "
        f"changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {tx.sql.now}) "
        "ON CONFLICT (connection, name) DO UPDATE SET uid = excluded.uid, series = excluded.series, "
        "etag = excluded.etag, ics = excluded.ics, starts = excluded.starts, ends = excluded.ends, "
        "pass_number = excluded.pass_number, changed = excluded.changed",
        [(*row, pass_number) for row in rows],
    )


async def remove(tx: Transaction, connection: str, names: Collection[str]) -> int:
    """Delete events by name; return how many there were."""
    return await tx.execute(
        f"DELETE FROM sync_event WHERE connection = $1 AND name {tx.sql.texts('$2')}",
        connection,
        storage.listed(names),
    )


async def known(connection: str, names: Collection[str], tx: Transaction | None = None) -> dict[str, str]:
    """Return the versions of those of the events that are there."""
    statement = (
        f"SELECT name, etag FROM sync_event WHERE connection = $1 AND name {storage.sql().texts('$2')}"
    )
    fetch = storage.fetch if tx is None else tx.fetch
    rows = await fetch(statement, connection, storage.listed(names))
    return {row["name"]: row["etag"] for row in rows}


async def all_names(connection: str) -> set[str]:
    """Return the names of all events of a connection."""
    rows = await storage.fetch("SELECT name FROM sync_event WHERE connection = $1", connection)
    return {row["name"] for row in rows}


async def touch(tx: Transaction, connection: str, names: Collection[str], pass_number: int) -> None:
    """Say that a pass has seen events that could not be taken over: what is stored of them stays."""
    await tx.execute(
        f"UPDATE sync_event SET pass_number = $2 WHERE connection = $1 AND name {tx.sql.texts('$3')}",
        connection,
        pass_number,
        storage.listed(names),
    )


async def unseen(tx: Transaction, connection: str, pass_number: int) -> tuple[int, int]:
    """Return how many events a pass has not seen, and how many there are."""
    rows = await tx.fetch(
        "SELECT count(*) AS n, count(CASE WHEN pass_number < $2 THEN 1 END) AS unseen "
        "FROM sync_event WHERE connection = $1",
        connection,
        pass_number,
    )
    return int(rows[0]["unseen"]), int(rows[0]["n"])


async def remove_unseen(tx: Transaction, connection: str, pass_number: int) -> None:
    """Delete the events that a pass has not seen."""
    await tx.execute(
        "DELETE FROM sync_event WHERE connection = $1 AND pass_number < $2", connection, pass_number
    )


class TableSide:
    """Side b of a calendar. Resources are named by their UIDs."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def listing(self, known: Mapping[str, str], token: str | None) -> Listing:
        """Return all of it: a table needs no token."""
        rows = await storage.fetch("SELECT name, etag FROM sync_event WHERE connection = $1", self._run.name)
        return Listing({row["name"]: row["etag"] for row in rows}, None)

    async def read(self, names: Collection[str]) -> Read:
        """Return events by name."""
        rows = await storage.fetch(
            "SELECT name, etag, ics FROM sync_event WHERE connection = $1 "
            f"AND name {storage.sql().texts('$2')}",
            self._run.name,
            storage.listed(names),
        )
        found = {row["name"]: Version(row["name"], row["etag"], row["ics"]) for row in rows}
        return Read(found, gone={*names} - found.keys())

    async def write(self, changes: Sequence[Write]) -> Sequence[Written]:
        """Make the changes in one transaction; what cannot be read is refused."""
        going = await asyncio.to_thread(lambda: [_Going.of(self._run.name, one) for one in changes])
        async with self._run.transaction() as tx:
            found = await tx.fetch(
                f"SELECT name, etag FROM sync_event WHERE connection = $1 AND name {tx.sql.texts('$2')} "
                f"{tx.sql.for_update}",
                self._run.name,
                storage.listed([one.name for one in going]),
            )
            there = {row["name"]: row["etag"] for row in found}
            fresh = [one for one in going if one.refused is None and there.get(one.name) == one.change.etag]
            await put(tx, [one.row for one in fresh if one.row is not None])
            await remove(tx, self._run.name, [one.name for one in fresh if one.row is None])
        done = {one.name for one in fresh}
        return [one.written(one.name in done) for one in going]


@dataclass(frozen=True, slots=True)
class _Going:
    """A change on its way into the table: its row, None to delete it, or why it is refused."""

    change: Write
    name: str
    row: tuple[Any, ...] | None = None
    refused: str | None = None

    @classmethod
    def of(cls, connection: str, change: Write) -> _Going:
        name = change.name or change.uid
        if change.text is None:
            return cls(change, name)
        try:
            return cls(change, name, values(connection, EventRow(name, change.uid, change.text)))
        except InvalidInput as error:
            return cls(change, name, refused=str(error))

    def written(self, done: bool) -> Written:
        """Return what became of it."""
        if self.refused is not None:
            return Written(refused=self.refused)
        if not done:
            return Written(stale="the table has another version of it")
        return (
            Written(Version(self.name, etag_of(storable(self.change.text))))
            if self.change.text
            else Written()
        )
