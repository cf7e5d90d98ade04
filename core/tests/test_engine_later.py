"""Notes about jobs on their way to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hopyard.engine.record import later
from hopyard.engine.record.later import LaterWriter


class Notes(LaterWriter[int]):
    """Keeps what it is told to store."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.waiting: list[int] = []
        self.stored: list[int] = []
        self.looks = 0

    def tell(self, note: int) -> None:
        self.waiting.append(note)
        self.arm()

    def _take(self) -> Sequence[int]:
        self.looks += not self.waiting
        taken, self.waiting = self.waiting, []
        return taken

    async def _store(self, notes: Sequence[int]) -> None:
        self.stored += notes

    def _about(self, note: int) -> str:
        return str(note)


async def test_a_note_is_written_whenever_it_comes(
    monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], Any]
) -> None:
    monkeypatch.setattr(later, "_SECONDS", 0.1)
    notes = Notes()
    for n in range(1, 4):
        notes.tell(n)
        await until(lambda n=n: notes.stored == [*range(1, n + 1)])  # type: ignore[misc]
        await until(lambda n=n: notes.looks == n)  # type: ignore[misc]
