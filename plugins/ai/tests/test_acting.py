"""A due request is acted on, once, whatever happens on the way; on both databases, without a broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hopyard import Hopyard, storage
from hopyard.errors import AuthenticationError, InvalidInput, TransientError
from hopyard.ledger.database import Database
from hopyard.ledger.values import utcnow
from hopyard.specs import State
from hopyard_ai import approving, manager, store
from hopyard_ai.models import Request, Run

DUE = datetime(2027, 3, 28, 6, 0, tzinfo=UTC)
ROME = ("site.weather", "c1", {"city": "Rome"})
DOOR = ("site.open_door", "d1", {"which": "north"})


async def hourly(text: str = "tell me the weather in Rome", **values: Any) -> Request:
    return (await manager.create(f"every hour {text}", person="alice", **values)).request


async def once(text: str = "tell me the weather in Rome") -> Request:
    """A one-off whose time has come."""
    request = (await manager.create(f"in 20 minutes {text}", person="alice")).request
    rule = '{"at": "2026-01-01T00:00:00+00:00", "zone": "UTC"}'
    await storage.execute("UPDATE ai_request SET rule = $2 WHERE id = $1", request.id, rule)
    return request


async def approve(request: Request, *, yes: bool) -> str:
    """Answer the only call of a request that waits; return the job that goes on."""
    job = (await approving.approve(request.id, person="alice", yes=yes)).job
    assert job is not None
    return job


async def only_run(request: Request) -> Run:
    (run,) = await store.runs(request.id)
    return run


async def state(request: Request) -> str:
    return (await store.get_request(request.id)).state


async def test_a_due_request_is_acted_on_with_tools_kept_and_told_once(
    floor: Any, script: Any, done: list[str], database: Database
) -> None:
    request = await hourly()
    script.then(script.ACT, script.calls(ROME), script.results)
    job = await floor.fire(request.id, DUE)
    assert await floor.run(job) is State.SUCCEEDED
    assert done == ["weather Rome"]
    run = await only_run(request)
    assert (run.state, run.due, run.job, run.model, run.steps) == ("done", DUE, job, "scripted", 2)
    assert run.answer == '{"city": "Rome", "sky": "sunny"}'
    assert run.decision is not None
    assert run.decision["action"] == "act"
    assert [(call["name"], call["args"], call["ok"]) for call in run.calls] == [
        ("site.weather", {"city": "Rome"}, True)
    ]
    assert run.finished is not None
    (told,) = await floor.told()
    assert (told["title"], told["body"]) == (request.title, run.answer)
    assert (told["data"]["request"], told["data"]["due"]) == (request.id, DUE.isoformat())
    assert "Request: Tell me the weather in Rome" in script.prompts[0]
    assert "Quiet hours: 22:00-07:00" in script.prompts[0]
    assert await state(request) == "active"
    # The tool ran as a child of its own, for the same person.
    (child,) = await database.fetch("SELECT parent, person FROM job_history WHERE task = $1", "site.weather")
    assert (str(child["parent"]), child["person"]) == (job, "alice")


async def test_only_marked_tasks_and_hook_tools_are_offered(floor: Any, script: Any) -> None:
    request = await hourly()
    script.then(script.ACT, script.calls(("add", "a1", {"a": 2, "b": 3})), script.results)
    await floor.run(await floor.fire(request.id, DUE))
    assert {"site__weather", "site__open_door", "add", "maintenance__monitor_resource_usage"} <= script.tools
    assert not {name for name in script.tools if name.startswith("ai__")}
    assert "site__secret" not in script.tools
    assert (await only_run(request)).answer == "5"


async def test_a_due_time_is_acted_on_once(floor: Any, script: Any, done: list[str]) -> None:
    request = await hourly()
    script.then(script.ACT, script.calls(ROME), "Sunny.")
    await floor.run(await floor.fire(request.id, DUE))
    asked = len(script.prompts)
    await floor.run(await floor.fire(request.id, DUE))
    assert len(script.prompts) == asked
    assert done == ["weather Rome"]
    assert len(await floor.told()) == 1
    assert (await only_run(request)).answer == "Sunny."
    script.then(script.ACT, "Rain.")
    await floor.run(await floor.fire(request.id, DUE + timedelta(hours=1)))
    assert [run.answer for run in await store.runs(request.id)] == ["Rain.", "Sunny."]
    assert "Earlier run at 2027-03-28T08:00:00+02:00 (done): Sunny." in script.prompts[-1]


async def test_a_worker_that_dies_leaves_off_where_the_next_one_goes_on(
    floor: Any, script: Any, done: list[str]
) -> None:
    request = await hourly()
    job = await floor.fire(request.id, DUE)
    script.then(script.ACT, script.calls(ROME), script.dies)
    await floor.crash(job)
    assert (await only_run(request)).state == "running"
    script.then(script.results)
    assert await floor.run(job) is State.SUCCEEDED
    assert done == ["weather Rome"]
    run = await only_run(request)
    assert run.answer == '{"city": "Rome", "sky": "sunny"}'
    assert [call["id"] for call in run.calls] == ["c1"]
    assert len(await floor.told()) == 1


async def test_a_worker_that_dies_behind_the_notification_does_not_tell_twice(
    floor: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await once()
    job = await floor.fire(request.id, DUE)

    async def dies(*args: Any, **values: Any) -> None:
        raise script.CRASH

    script.then(script.ACT, "Sunny.")
    with monkeypatch.context() as patch:
        patch.setattr("hopyard_ai.acting.store.dependents", dies)
        await floor.crash(job)
    assert len(await floor.told()) == 1
    assert await floor.run(job) is State.SUCCEEDED
    assert len(await floor.told()) == 1
    assert (await only_run(request)).state == "done"
    assert await state(request) == "completed"


async def test_a_one_off_is_completed_but_not_by_a_run_before_its_time(floor: Any, script: Any) -> None:
    request = (await manager.create("in 20 minutes call Bob", person="alice")).request
    script.then(script.ACT, "Called.")
    early = await manager.run_now(request.id, person="alice")
    assert await floor.run(early) is State.SUCCEEDED
    assert await state(request) == "active"
    due = await once()
    script.then(script.ACT, "Sunny.")
    await floor.run(await floor.fire(due.id, DUE))
    assert await state(due) == "completed"
    assert [one.id for one in await store.requests()] == [request.id]


async def test_it_is_postponed_by_one_job_and_acted_on_later(floor: Any, script: Any) -> None:
    request = await hourly()
    until = utcnow().replace(microsecond=0) + timedelta(hours=2)
    script.then({"action": "postpone", "until": until.isoformat(), "reason": "quiet hours"})
    job = await floor.fire(request.id, DUE)
    await floor.run(job)
    run = await only_run(request)
    assert (run.state, run.postponed, run.finished) == ("postponed", 1, None)
    assert await floor.told() == []
    (again,) = await floor.waiting()
    assert (again["state"], again["eta"], again["person"]) == ("scheduled", until.isoformat(), "alice")
    script.then(script.ACT, "Sunny.")
    await floor.run(again["id"])
    run = await only_run(request)
    assert (run.state, run.due, run.job, run.postponed) == ("done", DUE, again["id"], 1)
    assert len(await floor.told()) == 1


async def test_an_interrupted_postponement_is_not_acted_on_twice(
    floor: Any, script: Any, database: Database
) -> None:
    """The first job dies right behind its postponement: tried again, it leaves the run to the later job."""
    request = await hourly()
    later = (utcnow() + timedelta(hours=2)).isoformat()
    script.then({"action": "postpone", "until": later})
    job = await floor.fire(request.id, DUE)
    await floor.run(job)
    (again,) = await floor.waiting()
    script.then(script.ACT, script.dies)
    await floor.crash(again["id"])  # at work
    rerun = await floor.fire(request.id, DUE)  # as good as the first job a second time
    await floor.run(rerun)
    assert (await only_run(request)).job == again["id"]
    assert await floor.told() == []


async def test_a_person_is_told_that_a_model_looked_nothing_up(floor: Any, script: Any) -> None:
    request = await hourly()
    script.then(script.ACT, "It is sunny in Rome.")
    await floor.run(await floor.fire(request.id, DUE))
    (told,) = await floor.told()
    assert told["body"] == (
        "It is sunny in Rome.\n(The model used no tool for this: nothing was looked up or done.)"
    )
    assert (await only_run(request)).answer == "It is sunny in Rome."


async def test_it_is_not_postponed_for_ever(floor: Any, script: Any) -> None:
    request = await hourly()
    later = {"action": "postpone", "until": (utcnow() + timedelta(hours=2)).isoformat()}
    script.then(later, later, later, "Sunny.")
    await floor.run(await floor.fire(request.id, DUE))
    for _ in range(2):
        (again,) = await floor.waiting()
        await floor.run(again["id"])
    assert (await only_run(request)).answer == "Sunny."
    assert await floor.waiting() == []


async def test_a_question_is_asked_answered_and_then_acted_on(floor: Any, script: Any) -> None:
    request = await hourly()
    script.then({"action": "ask", "question": "Which Rome?"})
    await floor.run(await floor.fire(request.id, DUE))
    run = await only_run(request)
    assert (run.state, run.answer) == ("asking", "Which Rome?")
    (question,) = await floor.told()
    assert question["data"]["state"] == "asking"
    assert question["body"].splitlines() == [
        "Which Rome?",
        f"To answer: hopyard ai answer {run.id} --user alice YOUR ANSWER",
    ]
    job = (await manager.answer(request.id, "The one in Italy", person="alice")).job
    with pytest.raises(InvalidInput, match="does not wait for an answer"):
        await manager.answer(request.id, "twice", person="alice")
    script.then(script.ACT, "Sunny.")
    await floor.run(job)
    assert "The person answered: The one in Italy" in script.prompts[-1]
    run = await only_run(request)
    assert (run.state, run.answer, run.due) == ("done", "Sunny.", DUE)
    assert {one["data"]["state"] for one in await floor.told()} == {"asking", "done"}


async def test_what_deciding_takes_is_the_runs_with_answers_of_no_use(floor: Any, script: Any) -> None:
    """Each answer of the decision counts, by what the model was told and said; so does the one that acts."""
    tokens = []
    for decisions in ([script.ACT], [{"action": "dance"}, script.ACT]):
        request = await hourly()
        script.then(*decisions, "Sunny.")
        await floor.run(await floor.fire(request.id, DUE))
        run = await only_run(request)
        assert run.decision is not None
        assert run.tokens is not None
        assert run.tokens > 100 * len(decisions)
        tokens.append(run.tokens)
    plain, twice = tokens
    assert twice > plain + 50
    assert script.answers == []


async def test_a_decision_that_was_paid_for_is_kept_where_the_run_ends_with_it(
    floor: Any, script: Any
) -> None:
    request = await hourly()
    script.then({"action": "ask", "question": "Which Rome?"})
    await floor.run(await floor.fire(request.id, DUE))
    run = await only_run(request)
    assert run.state == "asking"
    assert (run.tokens or 0) > 50


@pytest.mark.parametrize("yes", [True, False])
async def test_a_call_that_needs_approval_waits_for_it(
    floor: Any, script: Any, done: list[str], yes: bool
) -> None:
    request = await hourly("open the north door")
    script.then(script.ACT, script.calls(ROME, DOOR))
    job = await floor.fire(request.id, DUE)
    assert await floor.run(job) is State.SUCCEEDED  # no worker is held while a person thinks
    run = await only_run(request)
    assert run.state == "approval"
    assert [(call["id"], call["name"], call["args"]) for call in run.pending] == [
        ("d1", "site.open_door", {"which": "north"})
    ]
    assert done == ["weather Rome"]
    (asked,) = await floor.told()
    assert 'site.open_door({"which": "north"})' in asked["body"]

    goes_on = await approve(request, yes=yes)
    with pytest.raises(InvalidInput, match="does not wait"):
        await approve(request, yes=not yes)
    script.then(script.results)
    assert await floor.run(goes_on) is State.SUCCEEDED
    run = await only_run(request)
    assert (run.state, run.pending, run.job) == ("done", [], goes_on)
    assert done == ["weather Rome"] + (["open north"] if yes else [])
    assert ("north is open" in (run.answer or "")) is yes
    assert {call["id"]: call["ok"] for call in run.calls} == {"c1": True, "d1": yes}
    assert len(await floor.told()) == 2


async def test_an_approved_call_survives_the_death_of_its_worker(
    floor: Any, script: Any, done: list[str]
) -> None:
    request = await hourly("open the north door")
    script.then(script.ACT, script.calls(DOOR))
    await floor.run(await floor.fire(request.id, DUE))
    goes_on = await approve(request, yes=True)
    script.then(script.dies)
    await floor.crash(goes_on)
    script.then("It is open.")
    assert await floor.run(goes_on) is State.SUCCEEDED
    assert done == ["open north"]
    assert (await only_run(request)).answer == "It is open."


async def test_a_tool_that_fails_is_the_models_to_tell(floor: Any, script: Any) -> None:
    request = await hourly()
    script.then(script.ACT, script.calls(("site.broken", "b1", {})), script.results)
    await floor.run(await floor.fire(request.id, DUE))
    run = await only_run(request)
    assert run.state == "done"
    assert run.answer is not None
    assert "site.broken failed" in run.answer
    assert "it never works" in run.answer
    assert [call["ok"] for call in run.calls] == [False]


async def test_dependents_run_once_after_it_was_done_and_see_its_result(floor: Any, script: Any) -> None:
    first = await hourly()
    then = (await manager.create("summarise it", person="alice", after=first.id)).request
    script.then(script.ACT, "Sunny.")
    job = await floor.fire(first.id, DUE)
    await floor.run(job)
    await floor.run(await floor.fire(first.id, DUE))
    (follow,) = await floor.waiting()
    assert follow["arguments"]["request"] == then.id
    script.then(script.ACT, "Nice weather.")
    await floor.run(follow["id"])
    assert "Result of what this depends on: Sunny." in script.prompts[-1]
    assert (await only_run(then)).answer == "Nice weather."
    assert await state(then) == "active"
    assert await floor.waiting() == []


async def test_a_dependent_is_never_stored_before_the_result_that_it_waits_for(
    floor: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker would take it at once, and see no result."""
    first = await hourly()
    await manager.create("summarise it", person="alice", after=first.id)
    job = await floor.fire(first.id, DUE)

    async def dies(*args: Any, **values: Any) -> None:
        raise script.CRASH

    script.then(script.ACT, "Sunny.")
    with monkeypatch.context() as patch:
        patch.setattr("hopyard_ai.acting.store.write_run", dies)
        await floor.crash(job)
    assert {one["id"] for one in await floor.waiting()} <= {job}
    await floor.run(job)
    assert len(await floor.waiting()) == 1


async def test_a_failure_that_is_tried_again_tells_nobody_and_the_last_one_does(
    floor: Any, script: Any
) -> None:
    request = await hourly()

    def away(messages: Any) -> str:
        raise TransientError("the model is away")

    script.then(*[away] * 4)
    job = await floor.fire(request.id, DUE)
    for _ in range(3):
        assert await floor.run(job) is None
        assert (await only_run(request)).state == "running"
        assert await floor.told() == []
    assert await floor.run(job) is State.DEAD
    run = await only_run(request)
    assert (run.state, run.answer) == ("failed", "the model is away")
    (told,) = await floor.told()
    assert told["title"].startswith("Could not be done")
    assert told["body"] == "the model is away"


async def test_what_cannot_be_retried_fails_at_once_and_a_later_job_may_take_it_up(
    floor: Any, script: Any
) -> None:
    request = await hourly()

    def refused(messages: Any) -> str:
        raise AuthenticationError("the key is refused")

    script.then(refused)
    job = await floor.fire(request.id, DUE)
    assert await floor.run(job) is State.DEAD
    assert (await only_run(request)).state == "failed"
    script.then(script.ACT, "Sunny.")
    await floor.run(await floor.fire(request.id, DUE))  # as a replay of the dead job
    run = await only_run(request)
    assert (run.state, run.answer) == ("done", "Sunny.")


@pytest.mark.parametrize("change", ["pause", "complete", "delete"])
async def test_a_due_time_of_a_request_that_rests_passes(
    floor: Any, script: Any, change: str, hopyard: Hopyard
) -> None:
    request = await hourly()
    job = await floor.fire(request.id, DUE)
    await getattr(manager, change)(request.id, person="alice")
    assert await floor.run(job) is State.SUCCEEDED
    run = await only_run(request)
    assert run.state == "skipped"
    assert run.finished is not None
    assert script.prompts == []
    assert await floor.told() == []


async def test_a_paused_request_can_still_be_run_by_hand(floor: Any, script: Any) -> None:
    request = await hourly()
    await manager.pause(request.id, person="alice")
    script.then(script.ACT, "Sunny.")
    assert await floor.run(await manager.run_now(request.id, person="alice")) is State.SUCCEEDED
    assert (await only_run(request)).answer == "Sunny."
    assert await state(request) == "paused"
