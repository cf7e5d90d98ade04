"""Effects of plain functions: in a worker's threads and in child processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engines import Gate, Lab, Worker
from hopyard.errors import TransientError
from hopyard.ledger import details, effects
from hopyard.specs import State


@pytest.fixture
async def worker(lab: Lab) -> Worker:
    made = await lab.worker()
    made.fetch()
    return made


async def effect(lab: Lab, id_: str) -> dict[str, Any]:
    (found,) = (await details.job(lab.ledger.database, id_))["effects"]
    return found


async def test_a_threads_effect_happens_once_over_its_attempts(lab: Lab, worker: Worker) -> None:
    sent, threads = [], []

    def send(to: str) -> dict[str, str]:
        import threading

        sent.append(to)
        threads.append(threading.current_thread().name)
        return {"receipt": to}

    def call(job: Any) -> Any:
        receipt = job.sync.effect("mail", send, to="ada")
        if job.attempt < 3:
            raise TransientError("later")
        return receipt

    lab.calls["call"] = call
    row = await lab.ends(await lab.submit("site.plain"))
    assert (json.loads(row["result"]), row["attempt"]) == ({"receipt": "ada"}, 3)
    assert sent == ["ada"]
    assert threads[0].startswith("hopyard-job"), "not on the loop, which it would block"


async def test_an_action_that_says_it_failed_is_done_again(lab: Lab, worker: Worker) -> None:
    tries = []

    def send() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise TransientError("busy")
        return "sent"

    lab.calls["call"] = lambda job: job.sync.effect("mail", send)
    row = await lab.ends(await lab.submit("site.plain"))
    assert (json.loads(row["result"]), len(tries)) == ("sent", 2)


async def test_an_action_that_was_interrupted_stays_unknown(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: job.sync.effect("mail", gate.pass_)
    id_ = await lab.submit("site.plain")
    await lab.until(lambda: gate.waiting)
    await lab.hopyard.handle(id_).cancel()
    await lab.ends(id_, State.CANCELLED)
    assert (await effect(lab, id_))["state"] == "unknown"


async def test_an_unknown_end_is_repeated_only_if_asked(lab: Lab, worker: Worker) -> None:
    sent = []

    def call(job: Any, **how: Any) -> Any:
        host = job._host.held(job.id, job._claim.claim)
        from hopyard import portal

        if job.attempt == 1:  # as if a worker had died within
            portal.run(effects.begin(host[0], job.id, host[1], "mail", {"to": "ada"}))
            raise TransientError("died")
        return job.sync.effect("mail", lambda to: sent.append(("first", to)), to="ada", **how)

    lab.calls["call"] = call
    row = await lab.ends(await lab.submit("site.plain"), State.DEAD)
    assert json.loads(row["error"])["kind"] == "EffectUnknown"
    assert sent == []
    lab.calls["call"] = lambda job: call(job, repeat_if_unknown=lambda to: sent.append(("again", to)))
    await lab.ends(await lab.submit("site.plain"))
    assert sent == [("again", "ada")]


async def test_a_child_has_effects_too(lab: Lab, worker: Worker) -> None:
    """Its first attempt does it and dies: the second one, in another process, gets the outcome."""
    lab.hopyard.settings.data.mkdir(exist_ok=True)
    id_ = await lab.submit("site.child", do="effect", n=7)
    row = await lab.ends(id_)
    assert (json.loads(row["result"]), row["attempt"]) == ([7, 2], 2)
    assert (Path(lab.hopyard.settings.data) / "sent").read_text() == "7\n"
    found = await effect(lab, id_)
    assert (found["state"], found["attempt"], found["intent"]) == ("done", 1, {"n": 7})
