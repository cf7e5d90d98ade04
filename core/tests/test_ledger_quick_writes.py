"""Writes of a few rows on SQLite: in the loop's own thread while they are quick, and never waiting there."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hopyard.ledger import migrations, sqlite, workers
from hopyard.ledger.database import open_database
from hopyard.ledger.values import NewJob, new_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def database(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A fresh ledger that trusts its disk already, and calls no write slow because the machine is busy."""
    monkeypatch.setattr(sqlite, "_QUICK_SECONDS", 60.0)
    url = f"sqlite:///{path}"
    await migrations.upgrade(url, {migrations.CORE: migrations.CORE_PACKAGE})
    opened: Any = open_database(url)
    values = {"name": "w", "role": "worker", "queues": ["q"], "plugins": {}, "lease": 60.0}
    assert await workers.register(opened, **values) == 1  # type: ignore[arg-type]
    while opened._shy:
        await opened.submit([job()])
    yield opened
    await opened.close()


@pytest.fixture
def threads(database: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which transactions were run, one after the other."""
    seen: list[int] = []
    transaction = sqlite._transaction

    def watched(raw: Any, work: Any, lazily: bool) -> Any:
        if not lazily:  # which comes once more
            seen.append(threading.get_ident())
        return transaction(raw, work, lazily)

    monkeypatch.setattr(sqlite, "_transaction", watched)
    return seen


def job() -> NewJob:
    return NewJob(new_id(), "site.echo", "q", 5, '[[], {"n": 1}, null]', "")


async def test_a_few_rows_are_written_here_and_many_in_the_thread(database: Any, threads: list[int]) -> None:
    here = threading.get_ident()
    one = job()
    await database.submit([one])
    assert await database.claim([one.id], 1, 1)
    assert threads == [here, here]
    await database.submit([job() for _ in range(100)])
    assert threads[2] != here


async def test_a_disk_that_is_slow_does_not_hold_up_the_loop_again(
    database: Any, threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    monkeypatch.setattr(sqlite, "_QUICK_SECONDS", 0.0)
    await database.submit([job()])
    await database.submit([job()])
    assert [thread == here for thread in threads] == [True, False]


async def test_a_lock_is_waited_for_in_the_thread(database: Any, path: Path, threads: list[int]) -> None:
    one = job()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        submitting = asyncio.create_task(database.submit([one]))
        async with asyncio.timeout(30):
            while len(threads) < 2:  # tried here, and waiting in the thread
                await asyncio.sleep(0.001)
        assert not submitting.done()
        other.execute("ROLLBACK")
    assert (await submitting).new == {one.id}
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, False]
