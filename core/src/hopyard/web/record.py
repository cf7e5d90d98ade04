"""The record of what people do over HTTP, kept before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hopyard.ledger import access
from hopyard.ledger.access import NewAct
from hopyard.ledger.database import Database


class Record:
    """One for each application. Those who act at the same time share a commit, as those who submit do."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._waiting: list[tuple[NewAct, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, act: NewAct) -> None:
        """Return once it is kept. Raises `LedgerError`."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((act, kept))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await kept

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failed: Exception | None = None
            try:
                await access.write(self._database(), [act for act, _ in batch])
            except Exception as error:  # noqa: BLE001 - each of those who wait gets it
                failed = error
            for _, kept in batch:
                if kept.done():  # who waited has gone
                    continue
                if failed is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(failed)
