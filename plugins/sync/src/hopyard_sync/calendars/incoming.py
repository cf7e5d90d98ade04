"""Calendars that come one way, by the delta API of their provider, into the table `sync_event`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hopyard.errors import HopyardError, InvalidInput
from hopyard.storage import Transaction

from hopyard_sync.calendars import table
from hopyard_sync.engine import stream
from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState
from hopyard_sync.settings.calendars import CalendarConnection
from hopyard_sync.texts import storable

_STREAM: Final = "events"
_MOST_PAGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a delta, its items as they came; where the next one is, or on the last one the cursor."""

    items: Sequence[Any]
    following: Any = None
    cursor: Any = None


class Delta(Protocol):
    """A provider's delta API."""

    async def page(self, cursor: Any, position: Any) -> Page | None:
        """Return the page at a position of the delta since a cursor (None: of everything).

        None where the provider knows the cursor or the position no more.
        """

    def read(self, name: str, item: Mapping[str, Any]) -> table.EventRow | None:
        """Return the event of an item, None if it is gone. What it raises costs this item."""


@dataclass(slots=True)
class _Sorted:
    """The items of a page: rows by name, names that are gone, and what cannot be taken over."""

    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    unnamed: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {*self.rows, *self.removed, *self.refused}


class Incoming:
    """One pass: each page's events and the position behind it are stored in one transaction.

    `source` stands for the calendar that is read (`stream.mark`).
    """

    def __init__(self, run: Run, delta: Delta, source: str) -> None:
        self._run = run
        self._delta = delta
        self._source = source
        self._unnamed = False
        self._seen: set[str] = set()

    async def sync(self) -> None:
        """Read the delta; where its cursor is known no more, everything, and remove what was not seen."""
        state = await self._run.stream(_STREAM, self._source)
        if self._run.full:
            state = state.anew()
        elif self._run.dry_run:
            state = state.at(None)
        if not await self._pass(state):
            self._run.note("the provider knows the last sync no more: everything was read again")
            if not await self._pass(state.anew()):
                raise InvalidInput(f"{self._run.name}: the provider refuses to begin anew")

    async def _pass(self, state: StreamState) -> bool:
        position, positions = state.position, set[str]()
        for number in range(1, _MOST_PAGES + 1):
            page = await self._delta.page(state.cursor, position)
            if page is None:
                return False
            found = await asyncio.to_thread(self._sort, page.items)
            await self._run.set_aside(_STREAM, [*found.refused.values(), *found.unnamed])
            self._unnamed = self._unnamed or bool(found.unnamed)
            await (self._preview if self._run.dry_run else self._store)(state, page, found)
            self._run.progress(number, None, f"{number} pages")
            await self._run.keep()
            if page.following is None:
                return True
            position = page.following
            if str(position) in positions:
                raise InvalidInput(f"{self._run.name}: the page {str(position)[:60]!r} leads back to itself")
            positions.add(str(position))
        raise InvalidInput(f"{self._run.name}: found more than {_MOST_PAGES} pages")

    def _sort(self, items: Sequence[Any]) -> _Sorted:
        """Read the items. All that comes from the provider passes here: what one raises costs that one."""
        found = _Sorted()
        for item in items:
            name = ""
            try:
                name = _name(item)
                row = self._delta.read(name, item)
                values = table.values(self._run.name, row) if row is not None else None
            except Exception as error:  # noqa: BLE001 - whatever an item is, the others go on
                reason = str(error) if isinstance(error, HopyardError) else f"{type(error).__name__}: {error}"
                shown = _shown(item)
                if name:
                    found.refused[name] = (name, reason, shown)
                else:
                    found.unnamed.append((shown[:100], reason, shown))
                continue
            found.rows.pop(name, None)
            found.removed.discard(name)
            if values is None:
                found.removed.add(name)
            else:
                found.rows[name] = values
        return found

    async def _store(self, state: StreamState, page: Page, found: _Sorted) -> None:
        async with self._run.transaction() as tx:
            known = await table.known(self._run.name, found.names, tx)
            await table.put(tx, found.rows.values(), state.pass_number)
            await table.remove(tx, self._run.name, found.removed)
            await table.touch(tx, self._run.name, found.refused.keys(), state.pass_number)
            await self._run.taken(tx, _STREAM, {*found.rows, *found.removed})
            if page.following is not None:
                await state.at(page.following).save(tx)
            else:
                if state.cursor is None:
                    await self._sweep(tx, state)
                await state.done(page.cursor).save(tx, completed=True)
            self._count(found, known)

    async def _sweep(self, tx: Transaction, state: StreamState) -> None:
        if self._unnamed:
            self._run.note("items without a name were found: what was not seen is kept, it may be among them")
            return
        gone, there = await table.unseen(tx, self._run.name, state.pass_number)
        self._run.check_deletions("from the table", gone, there, self._run.options.most_deletions)
        await table.remove_unseen(tx, self._run.name, state.pass_number)
        self._run.counts.removed += gone

    async def _preview(self, state: StreamState, page: Page, found: _Sorted) -> None:
        self._count(found, await table.known(self._run.name, found.names))
        self._seen |= found.names
        if page.following is None and state.cursor is None and not self._unnamed:
            there = await table.all_names(self._run.name)
            gone = len(there - self._seen)
            self._run.check_deletions("from the table", gone, len(there), self._run.options.most_deletions)
            self._run.counts.removed += gone

    def _count(self, found: _Sorted, known: Mapping[str, str]) -> None:
        counts = self._run.counts
        counts.added += sum(name not in known for name in found.rows)
        counts.changed += sum(
            name in known and known[name] != table.etag_in(values) for name, values in found.rows.items()
        )
        counts.removed += sum(name in known for name in found.removed)


def source(place: str, settings: CalendarConnection) -> str:
    """Return what stands for a calendar and its owner: an address may lead each person to their own."""
    oauth = settings.oauth
    assert oauth is not None  # noqa: S101 - the settings' model sees to it
    refresh = oauth.refresh_token.get_secret_value() if oauth.refresh_token is not None else None
    return stream.mark(place, oauth.client_id, refresh)


def _name(item: Any) -> str:
    name = item.get("id") if isinstance(item, Mapping) else None
    if not isinstance(name, str) or not name or name != storable(name):
        raise InvalidInput("found an event without an id")
    return name


def _shown(item: Any) -> str:
    try:
        return str(item)[:2000]
    except RecursionError:
        return "(too deep to be shown)"
