"""Outcomes are written in batches, whatever one of them holds and however long the ledger is away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hopyard.engine.record import recorder as module
from hopyard.engine.record.recorder import Recorder
from hopyard.errors import LedgerUnavailable
from hopyard.ledger.database import Database
from hopyard.ledger.values import Again, Done, utcnow
from hopyard.specs import State

Ledger = Any


@pytest.fixture(autouse=True)
async def _soon(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSES", (0.0, 0.0))
    assert await ledger.worker() == 1  # whose the jobs are


def recorder(ledger: Ledger, worker: int = 1, caught_up: Any = lambda: None) -> Recorder:
    return Recorder(ledger.database, lambda: worker, caught_up, lambda: None, lambda ids, refused: None)


def done(claim: Any, error: str | None = None) -> Done:
    return Done(claim.id, claim.claim, State.DEAD if error else State.SUCCEEDED, "1", error, None)


class Statements:
    """The ledger's `finish`: counted, failing as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Database, *errors: Exception) -> None:
        self.sizes: list[int] = []
        self.errors = [*errors]
        original = database.finish

        async def finish(batch: Any, worker: int) -> set[str]:
            self.sizes.append(len(batch))
            if self.errors:
                raise self.errors.pop(0)
            return await original(batch, worker)

        monkeypatch.setattr(database, "finish", finish)


async def test_outcomes_share_statements(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [await ledger.running(1) for _ in range(10)]
    later = await ledger.running(1)
    statements = Statements(monkeypatch, ledger.database)
    made = recorder(ledger)
    for claim in claims:
        made.add(done(claim))
    made.add(Again(later.id, later.claim, utcnow(), "why", "{}"))
    await made.drained()
    assert statements.sizes == [10]
    assert await ledger.count("job_history") == 10
    assert (await ledger.row(later.id))["state"] == State.RETRYING


async def test_a_refused_row_costs_only_itself(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    claims = [await ledger.running(1) for _ in range(5)]
    made = recorder(ledger)
    for n, claim in enumerate(claims):
        made.add(done(claim, "\ud800" if n == 2 else None))
    await made.drained()
    ends = [await ledger.past(claim.id) for claim in claims]
    states = [State(row["state"]).label for row in ends]
    assert states == ["succeeded", "succeeded", "dead", "succeeded", "succeeded"]
    assert "the outcome could not be stored" in json.loads(ends[2]["error"])["message"]
    assert f"the outcome of job {claims[2].id} cannot be stored" in caplog.text


async def test_a_retry_that_cannot_be_stored_ends_the_job(ledger: Ledger) -> None:
    claim = await ledger.running(1)
    made = recorder(ledger)
    made.add(Again(claim.id, claim.claim, utcnow(), "a \ud800", "{}"))
    await made.drained()
    assert (await ledger.past(claim.id))["state"] == State.DEAD


async def test_what_nothing_can_store_is_given_up_with_a_word(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim = await ledger.running(1)
    statements = Statements(monkeypatch, ledger.database, *[ValueError("no") for _ in range(9)])
    made = recorder(ledger)
    made.add(done(claim))
    await made.drained()
    assert statements.sizes == [1, 1, 1]
    assert "is given up" in caplog.text


async def test_outcomes_wait_out_a_ledger_that_is_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await ledger.running(1)
    statements = Statements(monkeypatch, ledger.database, *[LedgerUnavailable("away")] * 5)
    made = recorder(ledger)
    made.add(done(claim))
    await made.drained()
    assert statements.sizes == [1] * 6
    assert (await ledger.past(claim.id))["state"] == State.SUCCEEDED


async def test_too_many_that_wait_stop_the_intake_until_they_are_written(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL", 4)
    monkeypatch.setattr(module, "_BATCH", 2)
    told = asyncio.Event()
    made = recorder(ledger, caught_up=told.set)
    claims = [await ledger.running(1) for _ in range(4)]
    for claim in claims[:3]:
        made.add(done(claim))
    assert not made.full
    made.add(done(claims[3]))
    assert made.full
    await made.drained()
    assert told.is_set()
    assert not made.full


async def test_another_workers_job_is_left_alone(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    claim = await ledger.running(1)
    made = recorder(ledger, worker=2)
    made.add(done(claim))
    await made.drained()
    assert (await ledger.row(claim.id))["state"] == State.RUNNING
    assert "its outcome was refused" in caplog.text
