"""Notes about jobs on their way to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hopyard.engine.record import later
from hopyard.engine.record.later import LaterWriter
from hopyard.engine.record.lines import LineWriter
from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger.read import logs
from hopyard.ledger.read.logs import LogLine
from hopyard.ledger.values import new_id, utcnow


class Notes(LaterWriter[int]):
    """Keeps what it is told to store."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.waiting: list[int] = []
        self.stored: list[int] = []
        self.looks = 0
        self.away = False
        self.refused: set[int] = set()

    def tell(self, note: int) -> None:
        self.waiting.append(note)
        self.arm()

    def _take(self) -> Sequence[int]:
        taken, self.waiting = self.waiting, []
        return taken

    def _put_back(self, notes: Sequence[int]) -> None:
        self.waiting[:0] = notes

    def _waits(self) -> bool:
        self.looks += not self.waiting
        return bool(self.waiting)

    async def _store(self, notes: Sequence[int]) -> None:
        if self.away:
            raise LedgerUnavailable("it is away")
        if self.refused & {*notes}:
            raise LedgerError(f"not {notes}")
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


async def test_what_the_ledger_does_not_take_now_waits(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    until: Callable[[Callable[[], bool]], Any],
) -> None:
    monkeypatch.setattr(later, "_SECONDS", 0.01)
    caplog.set_level("INFO", "hopyard.engine")
    notes = Notes()
    notes.away = True
    notes.tell(1)
    await until(lambda: "waits for the ledger" in caplog.text)
    notes.tell(2)
    assert not await notes.flush()
    notes.away = False
    await until(lambda: notes.stored == [1, 2])
    assert caplog.text.count("waits for the ledger") == 1


async def test_what_cannot_be_stored_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    notes.refused = {2}
    notes.waiting = [1, 2, 3]
    await notes.drained()
    assert notes.stored == [1, 3]
    assert "2 cannot be stored" in caplog.text


def line(job: str, n: int) -> LogLine:
    return LogLine(job, 1000 + n, utcnow(), "INFO", f"line {n}")


async def test_all_lines_that_wait_are_written_in_the_end(ledger: Any) -> None:
    job = new_id()
    writer = LineWriter(ledger.database, asyncio.get_running_loop())
    try:
        for n in range(1, 1701):
            writer._waiting.append(line(job, n))
        await writer.drained()
    finally:
        writer.close()
    assert await logs.last(ledger.database, [job]) == {job: 2700}
    assert await ledger.count("job_log") == 1700
    assert [one.n for one in await logs.lines(ledger.database, job, latest=True, limit=2)] == [2699, 2700]
    assert [one.n for one in await logs.lines(ledger.database, job, limit=2)] == [1001, 1002]


async def test_the_first_lines_are_kept_where_too_many_wait(
    ledger: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hopyard.engine.record.lines._WAITING", 10)
    job = new_id()
    writer = LineWriter(ledger.database, asyncio.get_running_loop())
    try:
        monkeypatch.setattr(writer, "arm", lambda: None)
        for n in range(1, 16):
            writer.logged(line(job, n))
        await writer.drained()
    finally:
        writer.close()
    assert [one.n for one in await logs.lines(ledger.database, job)] == [*range(1001, 1011)]
    assert "5 lines that jobs logged are not kept" in caplog.text
