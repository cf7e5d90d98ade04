"""Dead letters are replayed once, with edits, one or many by filter, and discarded with their notes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hopyard.errors import UnknownJob
from hopyard.ledger import deadletters, notes
from hopyard.ledger.deadletters import Filter
from hopyard.ledger.values import Done
from hopyard.specs import State


async def die(ledger: Any, kind: str = "Boom") -> str:
    """Let a job end dead."""
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    error = json.dumps({"kind": kind, "category": "bug", "message": "no luck"})
    await ledger.database.finish([Done(claim.id, claim.claim, State.DEAD, None, error, None)], worker)
    return str(claim.id)


async def test_a_replay_is_a_new_job_with_edited_arguments(ledger: Any) -> None:
    dead = await die(ledger)
    new = (await deadletters.replay(ledger.database, Filter([dead]), {"city": "Oslo"}))[dead]
    row = await ledger.row(new.id)
    assert (row["state"], str(row["replay_of"]), row["attempt"]) == (State.QUEUED, dead, 0)
    assert json.loads(row["body"])[1]["city"] == "Oslo"
    assert json.loads(row["headers"])["id"] == new.id
    assert new.id in await ledger.outbox()


async def test_a_dead_job_is_replayed_once(ledger: Any) -> None:
    dead = await die(ledger)
    first = await deadletters.replay(ledger.database, Filter([dead]))
    again = await deadletters.replay(ledger.database, Filter([dead]))
    assert first[dead].id == again[dead].id
    rows = await ledger.database.fetch("SELECT id FROM job_live WHERE replay_of = $1", dead)
    assert len(rows) == 1


async def test_many_are_chosen_by_filter(ledger: Any) -> None:
    boom, other = await die(ledger), await die(ledger, kind="Quiet")
    assert set(await deadletters.replay(ledger.database, Filter(error="Quiet"))) == {other}
    assert set(await deadletters.replay(ledger.database, Filter())) == {boom, other}
    assert not await deadletters.replay(ledger.database, Filter(task="no.such"))
    assert not await deadletters.replay(ledger.database, Filter(older=3600))


async def test_a_job_that_is_not_dead_is_no_dead_letter(ledger: Any) -> None:
    claim = await ledger.running(await ledger.worker())
    for act in (deadletters.replay, deadletters.discard):
        with pytest.raises(UnknownJob, match=claim.id):
            await act(ledger.database, Filter([claim.id]))


async def test_a_discarded_job_leaves_nothing_behind(ledger: Any) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    await notes.write_checkpoint(ledger.database, claim.id, (worker, claim.claim), {"page": 1})
    await ledger.database.finish([Done(claim.id, claim.claim, State.DEAD, None, "{}", None)], worker)
    assert await deadletters.discard(ledger.database, Filter([claim.id])) == 1
    assert await ledger.checkpoint(claim.id) is None
    assert not await ledger.database.fetch("SELECT 1 AS yes FROM job_history WHERE id = $1", claim.id)
