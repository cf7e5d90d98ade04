"""All that is known of a job, while it lives and afterwards, on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hopyard.cli._job_details import render
from hopyard.errors import UnknownJob
from hopyard.ledger import cancelling, crashes, deadletters, details, effects, notes, waiting, workers
from hopyard.ledger.keys import submit_unique
from hopyard.ledger.values import Again, Claim, Done, Progress, new_id, utcnow
from hopyard.specs import State, Unique


def failed(claim: Claim, worker: int, **values: Any) -> str:
    """The entry that the engine keeps of a failed attempt."""
    plain = {"attempt": claim.attempt, "outcome": "failed", "worker": worker, "began": utcnow().isoformat()}
    error = {"at": utcnow().isoformat(), "kind": "Boom", "category": "transient", "message": "no luck"}
    return json.dumps(plain | error | values)


async def again(ledger: Any, worker: int, id_: str) -> None:
    """Fail a queued job in passing, and queue it again."""
    (claim,) = await ledger.claim(worker, id_)
    outcome = Again(id_, claim.claim, utcnow(), "attempt 1 failed", failed(claim, worker))
    assert await ledger.database.again([outcome], worker) == {id_}
    assert [ring.id for ring in await waiting.promote(ledger.database)] == [id_]


async def lose(ledger: Any, worker: int) -> None:
    await ledger.later("worker", "beat", 600)
    await workers.rescue(ledger.database)


async def test_one_job_is_told_with_all_that_is_known(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    due = utcnow() - timedelta(minutes=1)
    claim = await ledger.running(worker, schedule="s", due=due)
    child = await ledger.job(parent=claim.id)
    await notes.write_progress(database, [Progress(claim.id, 1, 2, "half", utcnow())])
    await notes.write_checkpoint(database, claim.id, (worker, claim.claim), {"page": 1})
    job = await details.job(database, claim.id)
    assert (job["state"], job["attempt"], job["worker"]) == ("running", 1, worker)
    assert (job["arguments"], job["due"], job["finished"]) == ({"n": 1}, due.isoformat(), None)
    assert (job["progress"]["current"], job["progress"]["message"]) == (1, "half")
    assert json.loads(job["checkpoint"]["data"]) == {"page": 1}
    assert job["children"] == [{"id": child, "task": "site.echo", "state": "queued"}]
    assert [one["outcome"] for one in job["attempts"]] == ["running"]
    await database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, '{"a": 1}', None, None)], worker)
    job = await details.job(database, claim.id)
    assert (job["state"], job["result"], job["error"]) == ("succeeded", {"a": 1}, None)
    assert job["seconds"] >= 0
    assert job["group"] is None
    json.dumps(job)  # JSON-like throughout


async def test_every_attempt_is_told_with_its_worker(ledger: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Failed, handed back, left behind, lost with its worker, then done: five attempts of four workers."""
    database, id_ = ledger.database, await ledger.job()
    first = await ledger.worker("first@here")
    await again(ledger, first, id_)
    (claim,) = await ledger.claim(first, id_)
    entry = failed(claim, first, outcome="handed back", message="its worker drains")
    await waiting.release(database, [(id_, claim.claim)], first, entry)
    leaver, lost = [await ledger.worker(name) for name in ("leaver@here", "lost@here")]
    await ledger.claim(leaver, id_)
    await workers.leave(database, leaver)
    await ledger.claim(lost, id_)
    await lose(ledger, lost)
    last = await ledger.worker("last@here")
    (claim,) = await ledger.claim(last, id_)
    await database.finish([Done(id_, claim.claim, State.SUCCEEDED, "1", None, None)], last)
    job = await details.job(database, id_)
    assert [(one["attempt"], one["outcome"], one["name"]) for one in job["attempts"]] == [
        (1, "failed", "first@here"),
        (2, "handed back", "first@here"),
        (2, "handed back", "leaver@here"),
        (2, "lost", "lost@here"),
        (3, "succeeded", "last@here"),
    ]
    assert all(one["at"] and one["host"] for one in job["attempts"])
    assert job["attempts"][0]["category"] == "transient"
    assert "nobody saw how" in job["attempts"][3]["message"]
    render(job)
    told = capsys.readouterr().out
    for text in ("leaver@here", "Boom (transient): no luck", "its worker drains", "WorkerLost"):
        assert text in told


async def test_the_end_of_a_dead_job_is_told_once(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    error = json.dumps({"kind": "Boom", "category": "bug", "message": "no luck", "traceback": "…"})
    for entry in (True, False):  # without: it failed outside of its task
        claim = await ledger.running(worker)
        kept = failed(claim, worker) if entry else None
        await database.finish([Done(claim.id, claim.claim, State.DEAD, None, error, kept)], worker)
        (one,) = (await details.job(database, claim.id))["attempts"]
        assert (one["attempt"], one["outcome"], one["kind"], one["worker"]) == (1, "failed", "Boom", worker)


async def test_effects_tell_what_is_known_of_them(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    claim = await ledger.running(worker)
    fence = (worker, claim.claim)
    for name, state in (("mail", "done"), ("sms", "failed")):
        await effects.begin(database, claim.id, fence, name, {"to": "ada"})
        await effects.end(database, claim.id, fence, name, state, {"receipt": 1})  # type: ignore[arg-type]
    await effects.begin(database, claim.id, fence, "fax", {"to": "ada"})
    told = {one["name"]: one for one in (await details.job(database, claim.id))["effects"]}
    assert {name: one["state"] for name, one in told.items()} == {
        "mail": "done",
        "sms": "failed",
        "fax": "intent",
    }
    assert (told["mail"]["intent"], told["mail"]["outcome"]) == ({"to": "ada"}, {"receipt": 1})
    assert all(one["attempt"] == 1 and one["began"] and one["at"] for one in told.values())
    await lose(ledger, worker)
    told = {one["name"]: one for one in (await details.job(database, claim.id))["effects"]}
    assert told["fax"]["state"] == "unknown"


async def test_who_cancelled_a_job_is_told(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    waits, runs = await ledger.job(), await ledger.running(worker)
    await cancelling.cancel(database, [waits, runs.id], "enough, by ada")
    for id_ in (waits, runs.id):
        told = (await details.job(database, id_))["cancel"]
        assert told["reason"] == "enough, by ada"
        assert told["at"]
    assert (await details.job(database, waits))["attempts"] == []
    await lose(ledger, worker)  # another worker takes it, and finds that it was cancelled
    other = await ledger.worker()
    (claim,) = await ledger.claim(other, runs.id)
    await database.finish([Done(runs.id, claim.claim, State.CANCELLED, None, None, None)], other)
    job = await details.job(database, runs.id)
    assert job["cancel"]["reason"] == job["reason"] == "enough, by ada"
    assert [one["outcome"] for one in job["attempts"]] == ["lost", "cancelled"]


async def test_replays_and_keys_lead_to_each_other(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    made = ledger.new()
    await submit_unique(database, made, Unique("report:ada"))
    assert [key["key"] for key in (await details.job(database, made.id))["keys"]] == [
        f"{made.task}:report:ada"
    ]
    (claim,) = await ledger.claim(worker, made.id)
    await database.finish([Done(made.id, claim.claim, State.DEAD, None, "{}", None)], worker)
    assert (await details.job(database, made.id))["replayed_as"] is None
    replay = (await deadletters.replay(database, deadletters.Filter([made.id])))[made.id].id
    assert (await details.job(database, made.id))["replayed_as"] == replay
    assert (await details.job(database, replay))["replay_of"] == made.id


async def test_a_job_that_is_not_there_is_named(ledger: Any) -> None:
    id_ = new_id()
    with pytest.raises(UnknownJob, match=id_):
        await details.job(ledger.database, id_)


async def test_a_death_that_was_seen_is_told(ledger: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import os

    database, worker = ledger.database, await ledger.worker("w@here")
    claim = await ledger.running(worker)
    seen = crashes.evidence(-11, 123_000_000, b"one\nredis://u:hidden-pw@h\n" + b"x" * 9000)
    assert await crashes.witness(database, os.getpid(), seen)
    await lose(ledger, worker)
    assert not await crashes.witness(database, os.getpid(), seen), "it is not alive any more"
    job = await details.job(database, claim.id)
    (one,) = job["attempts"]
    assert one["message"] == "the worker was lost (killed by SIGSEGV)"
    assert one["evidence"]["memory"] == 123_000_000
    assert sum(map(len, one["evidence"]["log"])) <= crashes.LAST_CHARACTERS
    render(job)
    assert "SIGSEGV), 123 MB in memory" in capsys.readouterr().out


def test_last_words_are_few_and_without_secrets() -> None:
    words = b"\n".join(b"line %d" % n for n in range(100)) + b"\nredis://u:hidden-pw@h \xff\x00"
    seen = crashes.evidence(9, None, words)
    assert (seen["exit"], len(seen["log"])) == ("exit status 9", crashes.LAST_LINES)
    assert "hidden-pw" not in seen["log"][-1]
    assert "\0" not in seen["log"][-1]
