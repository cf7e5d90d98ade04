"""What people are owed: kinds that mean something, approvals of their own, honest records, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard import Hopyard, current, storage
from hopyard.errors import InvalidInput, ScheduleError, TransientError
from hopyard.ledger.database import Database
from hopyard.specs import State
from hopyard.storage import utcnow
from hopyard_ai import approving, manager, store
from hopyard_ai.models import Request, Run
from hopyard_ai.repairing import repair

DUE = datetime(2027, 3, 28, 6, 0, tzinfo=UTC)
LATER = DUE + timedelta(hours=1)


async def create(text: str = "every hour open the door", person: str = "alice") -> Request:
    return (await manager.create(text, person=person)).request


async def only_run(request: Request) -> Run:
    (run,) = await store.runs(request.id)
    return run


def door(which: str, id_: str = "d1") -> tuple[str, str, dict[str, Any]]:
    return "site.open_door", id_, {"which": which}


def pay(amount: int) -> tuple[str, str, dict[str, Any]]:
    return "site.pay", f"p{amount}", {"amount": amount}


async def ask_for(floor: Any, script: Any, request: Request, due: datetime, *calls: Any) -> None:
    script.then(script.ACT, script.calls(*calls))
    await floor.run(await floor.fire(request.id, due))


async def approve(name: str | None, *, person: str = "alice", yes: bool = True) -> Any:
    return await approving.approve(name, person=person, yes=yes)


# --- kinds


@pytest.mark.parametrize(
    "text", ["in 20 minutes remind me to pay 100 EUR", "every day at 9 remind me to pay 100 EUR"]
)
async def test_a_reminder_tells_its_text_and_asks_no_model(
    floor: Any, script: Any, done: list[str], text: str
) -> None:
    request = await create(text)
    assert request.kind == "reminder"
    script.then(script.ACT, script.calls(pay(100)), "Paid.")
    assert await floor.run(await floor.fire(request.id, DUE)) is State.SUCCEEDED
    assert (done, script.prompts) == ([], [])
    (told,) = await floor.told()
    assert told["body"] == "Pay 100 EUR"
    assert (await only_run(request)).state == "done"


async def test_a_paused_one_off_that_was_run_by_hand_is_still_paused(floor: Any, script: Any) -> None:
    request = await create("in 20 minutes open the door")
    await manager.pause(request.id, person="alice")
    script.then(script.ACT, "Done.")
    await floor.run(await manager.run_now(request.id, person="alice"))
    assert (await store.get_request(request.id)).state == "paused"
    assert (await manager.resume(request.id, person="alice")).next_times


# --- approvals


async def test_an_approval_is_of_one_call(floor: Any, script: Any, done: list[str]) -> None:
    """Two due times wait: the answer to the first message is for the first call."""
    request = await create()
    await ask_for(floor, script, request, DUE, door("north"))
    await ask_for(floor, script, request, LATER, door("south"))
    second, first = await floor.told()
    (first_id,), (second_id,) = first["data"]["approvals"], second["data"]["approvals"]
    assert f"hopyard ai approve {first_id} --user alice" in first["body"]
    assert first_id != second_id
    for unclear in (None, request.id):
        with pytest.raises(InvalidInput, match="several calls wait for alice") as refused:
            await approve(unclear)
        assert first_id in str(refused.value)
        assert second_id in str(refused.value)
    answered = await approve(first_id)
    assert 'site.open_door({"which": "north"})' in answered.sentence
    script.then("It is open.")
    await floor.run(answered.job)
    assert done == ["open north"]
    assert [one.id for one in await approving.open_approvals("alice")] == [second_id]


async def test_calls_of_one_run_are_answered_one_by_one(floor: Any, script: Any, done: list[str]) -> None:
    request = await create()
    await ask_for(floor, script, request, DUE, door("north"), door("south", "d2"))
    north, south = await approving.open_approvals("alice")
    first = await approve(north.id, yes=False)
    assert first.job is None
    assert "1 more" in first.sentence
    last = await approve(south.id)
    script.then("One is open.")
    await floor.run(last.job)
    assert done == ["open south"]


async def test_what_is_asked_twice_is_told_twice(floor: Any, script: Any, done: list[str]) -> None:
    request = await create()
    await ask_for(floor, script, request, DUE, door("north"))
    script.then(script.calls(door("north")))  # the same call, with the same id even
    await floor.run((await approve(None)).job)
    assert len(await floor.told()) == 2
    script.then("Twice.")
    await floor.run((await approve(None)).job)
    assert done == ["open north", "open north"]


async def test_a_question_that_was_asked_before_is_told_again(floor: Any, script: Any) -> None:
    request = await create()
    ask = {"action": "ask", "question": "Which door?"}
    script.then(ask)
    await floor.run(await floor.fire(request.id, DUE))
    script.then(ask)
    await floor.run((await manager.answer(request.id, "the north one", person="alice")).job)
    assert [one["body"].splitlines()[0] for one in await floor.told()] == ["Which door?"] * 2


async def test_an_approval_is_for_the_person_it_was_asked_of(
    floor: Any, script: Any, done: list[str]
) -> None:
    request = await create()
    await ask_for(floor, script, request, DUE, door("north"))
    (asked,) = await approving.open_approvals("alice")
    for name in (asked.id, request.id, None):
        with pytest.raises(InvalidInput):
            await approve(name, person="bob")
    assert await approving.open_approvals("bob") == []
    assert done == []


async def test_an_approval_expires_and_that_is_told(
    floor: Any, script: Any, done: list[str], database: Database
) -> None:
    request = await create()
    await ask_for(floor, script, request, DUE, door("north"))
    (asked,) = await approving.open_approvals("alice")
    assert asked.expires is not None
    assert asked.expires - utcnow() > timedelta(hours=23)
    passed = (await only_run(request)).pending
    passed[0]["expires"] = (utcnow() - timedelta(seconds=1)).isoformat()
    async with storage.transaction() as tx:
        await store.write_run(tx, asked.run, pending=passed)
    with pytest.raises(InvalidInput, match="expired"):
        await approve(asked.id)
    assert (await repair(10)).failed == 1
    told = (await floor.told())[0]
    assert "Nobody agreed in time" in told["body"]
    assert (await only_run(request)).state == "failed"
    assert done == []


async def test_two_answers_at_once_count_once(floor: Any, script: Any) -> None:
    request = await create()
    await ask_for(floor, script, request, DUE, door("north"))
    both = await asyncio.gather(approve(None), approve(None, yes=False), return_exceptions=True)
    assert sum(isinstance(one, InvalidInput) for one in both) == 1


@pytest.mark.parametrize("value", ["changes", "all"])
async def test_settings_can_demand_approval(
    floor: Any, script: Any, done: list[str], setting: Callable[..., None], value: str
) -> None:
    setting(approval=value)
    request = await create()
    calls = [pay(1), ("site.echo", "e1", {"context": "hello"})]
    await ask_for(floor, script, request, DUE, *calls)
    waiting = {one.tool: one.effect for one in await approving.open_approvals("alice")}
    assert waiting["site.pay"] == "may destroy something"
    assert ("site.echo" in waiting) is (value == "all")
    assert done == []
    assert "It may destroy something." in (await floor.told())[0]["body"]


# --- whose requests


async def test_one_persons_requests_are_closed_to_others(floor: Any, script: Any) -> None:
    request = await create()
    script.then({"action": "ask", "question": "Which door?"})
    await floor.run(await floor.fire(request.id, DUE))
    for change in ("pause", "resume", "complete", "delete", "run_now", "update"):
        for name in (request.id, request.id[-8:]):
            with pytest.raises(InvalidInput, match="there is no request"):
                await getattr(manager, change)(name, person="bob")
    with pytest.raises(InvalidInput, match="there is no request"):
        await manager.answer(request.id, "mine", person="bob")
    with pytest.raises(InvalidInput, match="there is no request"):
        await manager.create("tell me what alice was told", person="bob", after=request.id[-8:])
    assert (await store.get_request(request.id)).state == "active"
    assert await store.answers(request.id) == []


# --- records


async def test_a_run_that_fails_at_its_limit_says_what_it_did(
    floor: Any, script: Any, done: list[str]
) -> None:
    request = await create()
    script.then(script.ACT, *(script.calls(pay(n)) for n in range(1, 12)))
    assert await floor.run(await floor.fire(request.id, DUE)) is State.DEAD
    run = await only_run(request)
    assert run.state == "failed"
    assert [call["args"]["amount"] for call in run.calls] == [*range(1, 11)]
    assert (run.steps, bool(run.tokens)) == (10, True)
    (told,) = await floor.told()
    assert "more steps, calls or tokens than one run may have" in told["body"]
    assert 'site.pay({"amount": 1})' in told["body"]
    assert len(done) == 10


async def test_another_job_that_takes_a_failed_run_up_repeats_no_call(
    floor: Any, script: Any, done: list[str]
) -> None:
    def away(messages: Any) -> str:
        raise InvalidInput("the model is set up wrongly")

    request = await create()
    script.then(script.ACT, script.calls(pay(1)), away)
    assert await floor.run(await floor.fire(request.id, DUE)) is State.DEAD
    script.then("Paid.")
    await floor.run(await floor.fire(request.id, DUE))  # as a replay of the dead job
    assert done == ["pay 1"]
    run = await only_run(request)
    assert (run.state, run.answer) == ("done", "Paid.")
    assert [call["name"] for call in run.calls] == ["site.pay"]


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
async def test_a_worker_that_dies_at_any_saved_step_pays_once_and_tells_once(
    floor: Any, script: Any, done: list[str], monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    from hopyard.ledger.crashes import take_back
    from hopyard_ai.acting import _Attempt

    real, saves = _Attempt._save, 0

    async def save(self: _Attempt, messages: str) -> None:
        nonlocal saves
        saves += 1
        await real(self, messages)
        if saves == nth:
            raise script.CRASH

    async def run(job: str) -> None:
        try:
            await floor.run(job)
        except script.CRASH:
            async with floor.database.transaction() as tx:
                await take_back(tx, floor.database.dialect, floor._worker, "floor")
            await floor.run(job)

    monkeypatch.setattr(_Attempt, "_save", save)
    request = await create()
    script.then(script.ACT, *(script.calls(one) for one in (pay(1), pay(2), door("north"))), "All done.")
    await run(await floor.fire(request.id, DUE))
    await run((await approve(None)).job)
    assert sorted(done) == ["open north", "pay 1", "pay 2"]
    assert [one["data"]["state"] for one in await floor.told()] == ["done", "approval"]
    assert (await only_run(request)).answer == "All done."


async def test_what_was_done_is_recorded_while_the_job_is_tried_again(floor: Any, script: Any) -> None:
    def away(messages: Any) -> str:
        raise TransientError("the model is away")

    request = await create()
    script.then(script.ACT, script.calls(pay(1)), away)
    assert await floor.run(await floor.fire(request.id, DUE)) is None
    run = await only_run(request)
    assert [(call["name"], call["ok"]) for call in run.calls] == [("site.pay", True)]


async def test_cancelled_while_a_tool_runs_it_cancels_the_tool_and_tells(
    floor: Any, script: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import asynccontextmanager

    from hopyard.errors import JobCancelled

    cancelled = False

    @asynccontextmanager
    async def release_slot(id_: str) -> Any:
        nonlocal cancelled
        cancelled = True
        raise asyncio.CancelledError
        yield

    def check(id_: str, claim: int) -> None:
        if cancelled:
            raise JobCancelled("cancelled")

    request = await create()
    script.then(script.ACT, script.calls(pay(1)))
    job = await floor.fire(request.id, DUE)
    monkeypatch.setattr(floor, "release_slot", release_slot)
    monkeypatch.setattr(floor, "check", check)
    await floor.run(job)
    (child,) = await database.fetch("SELECT state FROM job_history WHERE task = $1", "site.pay")
    assert State(child["state"]) is State.CANCELLED
    (told,) = await floor.told()
    assert told["body"].startswith("It was cancelled.")
    assert "site.pay" in told["body"]
    assert (await only_run(request)).state == "failed"


async def test_a_postponement_is_bounded_and_told(
    floor: Any, script: Any, setting: Callable[..., None]
) -> None:
    setting(longest_postponement=3600.0)
    request = await create()
    script.then({"action": "postpone", "until": "2999-01-01T00:00:00+00:00"})
    await floor.run(await floor.fire(request.id, DUE))
    (again,) = await floor.waiting()
    assert datetime.fromisoformat(again["eta"]) <= utcnow() + timedelta(hours=1)
    (told,) = await floor.told()
    assert told["title"].startswith("Postponed")


# --- limits of people


async def test_due_times_keep_a_least_interval(setting: Callable[..., None], hopyard: Any) -> None:
    setting(least_interval=60.0)
    with pytest.raises(ScheduleError, match="found 30 s between two times, expected at least 60 s"):
        await create("every 30 seconds open the door")
    request = await create("every hour open the door")
    with pytest.raises(ScheduleError, match="least_interval"):
        await manager.update(request.id, person="alice", when="every 5 seconds")


async def test_a_person_has_so_many_open_requests(setting: Callable[..., None], hopyard: Any) -> None:
    setting(max_requests=2)
    first = await create()
    await create()
    with pytest.raises(InvalidInput, match="alice has 2 open requests, expected fewer than 2"):
        await create()
    await create(person="bob")
    await manager.complete(first.id, person="alice")
    await create()


@pytest.mark.parametrize("limit", [{"daily_runs": 1}, {"daily_tokens": 1}])
async def test_a_persons_day_is_limited_and_that_is_told_once(
    floor: Any, script: Any, setting: Callable[..., None], limit: dict[str, int]
) -> None:
    setting(**limit)
    request, bobs = await create(), await create(person="bob")
    script.then(script.ACT, "Done.")
    await floor.run(await floor.fire(request.id, DUE))
    for n in (1, 2):
        await floor.run(await floor.fire(request.id, DUE + timedelta(hours=n)))
    asked = len(script.prompts)
    assert [run.state for run in await store.runs(request.id)] == ["skipped", "skipped", "done"]
    assert [one["title"] for one in await floor.told()].count("No more today") == 1
    script.then(script.ACT, "Done.")
    await floor.run(await floor.fire(bobs.id, DUE))
    assert len(script.prompts) == asked + 2


async def test_a_persons_money_a_day_is_limited(
    floor: Any, script: Any, setting: Callable[..., None], database: Database
) -> None:
    setting(daily_cost="0.50")
    request = await create()
    for n, cost in enumerate((0.3, 0.3)):
        script.then(script.ACT, "Done.")
        await floor.run(await floor.fire(request.id, DUE + timedelta(hours=n)))
        (run, *_) = await store.runs(request.id)
        await database.execute("UPDATE ai_run SET cost = $1 WHERE id = $2", cost, run.id)
    await floor.run(await floor.fire(request.id, DUE + timedelta(hours=2)))
    assert [run.state for run in await store.runs(request.id)] == ["skipped", "done", "done"]
    (told, *_) = await floor.told()
    assert told["title"] == "No more today"
    assert "0.50 US dollars a day" in told["body"]


def test_a_plugin_whose_tools_cannot_be_asked_for_is_shown_as_failed(tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text('[plugins]\nallow = ["ai", "site"]\n')
    (tmp_path / "hopfile.py").write_text(
        "from hopyard import Plugin, PluginSettings, hookimpl\n\n\n"
        "class Site(Plugin[PluginSettings]):\n"
        "    @hookimpl\n"
        "    def register_tools(self):\n"
        '        raise ValueError("no tools today")\n'
    )
    made = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
    try:
        records = {record.name: record for record in made.plugins.records}
        assert records["site"].failed
        assert "no tools today" in str(records["site"].reason)
        assert not records["ai"].failed
    finally:
        current.set_instance(None)


# --- tools


async def test_any_parameter_may_have_any_name_and_odd_values_are_the_models_to_hear(
    floor: Any, script: Any
) -> None:
    request = await create()
    calls = script.calls(
        ("site.echo", "e1", {"context": "hello ", "self": "you"}),
        ("odd", "o1", {}),
        ("odd", "o2", {"text": "x"}),
    )
    script.then(script.ACT, calls, script.results)
    await floor.run(await floor.fire(request.id, DUE))
    run = await only_run(request)
    assert [call["ok"] for call in run.calls] == [True, False, True]
    assert "hello you" in (run.answer or "")
    assert "odd failed: what it returned is no JSON" in (run.answer or "")
    (run.answer or "").encode()


async def test_only_exclusions_mean_all_others(floor: Any, script: Any, setting: Callable[..., None]) -> None:
    setting(tools=("!site.pay",))
    request = await create()
    script.then(script.ACT, "Done.")
    await floor.run(await floor.fire(request.id, DUE))
    assert "site__echo" in script.tools
    assert "site__pay" not in script.tools


async def test_long_results_of_many_tools_fit_the_checkpoint(
    floor: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "Ж" * 19_900
    request = await create()
    echoes = [("site.echo", f"e{n}", {"context": "x", "self": ""}) for n in range(12)]
    monkeypatch.setattr("hopyard_ai.tools.Toolbox.call", lambda *_: asyncio.sleep(0, long))
    script.then(script.ACT, script.calls(*echoes), "All read.")
    assert await floor.run(await floor.fire(request.id, DUE)) is State.SUCCEEDED
    assert (await only_run(request)).answer == "All read."
