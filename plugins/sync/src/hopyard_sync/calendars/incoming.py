"""Calendars that come one way, by the delta API of their provider, into the table `sync_event`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hopyard.errors import InvalidInput
from hopyard.storage import Transaction

from hopyard_sync.calendars import table
from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState
from hopyard_sync.texts import storable

_STREAM: Final = "events"
_MOST_PAGES: Final = 10_000


@dataclass(slots=True)
class Page:
    """A page of a delta: what is there and what is gone; where the next one is, or on the last the cursor."""

    rows: list[table.EventRow] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    following: Any = None
    cursor: Any = None


class Delta(Protocol):
    """A provider's delta API."""

    async def page(self, cursor: Any, position: Any) -> Page | None:
        """Return the page at a position of the delta since a cursor (None: of everything).

        None where the provider knows the cursor or the position no more.
        """


class Incoming:
    """One pass: each page's events and the position behind it are stored in one transaction."""

    def __init__(self, run: Run, delta: Delta) -> None:
        self._run = run
        self._delta = delta

    async def sync(self) -> None:
        """Read the delta; where its cursor is known no more, everything, and remove what was not seen."""
        state = await self._run.stream(_STREAM)
        if self._run.full:
            state = state.anew()
        elif self._run.dry_run:
            state = state.at(None)
        if not await self._pass(state):
            self._run.note("the provider knows the last sync no more: everything was read again")
            if not await self._pass(state.anew()):
                raise InvalidInput(f"{self._run.name}: the provider refuses to begin anew")

    async def _pass(self, state: StreamState) -> bool:
        position, seen = state.position, set[str]()
        for number in range(1, _MOST_PAGES + 1):
            page = await self._delta.page(state.cursor, position)
            if page is None:
                return False
            await self._run.set_aside(_STREAM, page.refused)
            await self._store(state, page)
            self._run.progress(number, None, f"{number} pages")
            await self._run.keep()
            if page.following is None:
                return True
            position = page.following
            if str(position) in seen:
                raise InvalidInput(f"{self._run.name}: the page {str(position)[:60]!r} leads back to itself")
            seen.add(str(position))
        raise InvalidInput(f"{self._run.name}: found more than {_MOST_PAGES} pages")

    async def _store(self, state: StreamState, page: Page) -> None:
        rows = await table.prepared(self._run.name, page.rows)
        if self._run.dry_run:
            known = await table.known(self._run.name, [*(row.name for row in page.rows), *page.removed])
            self._count(page, known)
            return
        async with self._run.transaction() as tx:
            known = await table.known(self._run.name, [*(row.name for row in page.rows), *page.removed], tx)
            await table.put(tx, rows, state.pass_number)
            await table.remove(tx, self._run.name, page.removed)
            if page.following is not None:
                await state.at(page.following).save(tx)
            else:
                if state.cursor is None:
                    await self._sweep(tx, state)
                await state.done(page.cursor).save(tx, completed=True)
            self._count(page, known)

    async def _sweep(self, tx: Transaction, state: StreamState) -> None:
        gone, there = await table.unseen(tx, self._run.name, state.pass_number)
        self._run.check_deletions("from the table", gone, there, self._run.options.most_deletions)
        await table.remove_unseen(tx, self._run.name, state.pass_number)
        self._run.counts.removed += gone

    def _count(self, page: Page, known: dict[str, str]) -> None:
        counts = self._run.counts
        counts.added += sum(row.name not in known for row in page.rows)
        counts.changed += sum(
            row.name in known and known[row.name] != table.etag_of(storable(row.ics)) for row in page.rows
        )
        counts.removed += sum(name in known for name in page.removed)
