"""The agent loop with a scripted model: tools, approvals, resuming, limits, redaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hopyard import redaction
from hopyard.errors import (
    InvalidInput,
    JobFailed,
    LedgerUnavailable,
    PayloadError,
    TimeLimitExceeded,
    TransientError,
)
from hopyard.specs import tool_name
from hopyard_ai.agent.executor import Executor, Limits, Outcome, ToolSpec
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SPECS = (
    ToolSpec("weather.now", "The weather.", SCHEMA),
    ToolSpec("door.open", "Opens a door.", SCHEMA, approval=True),
)

Answer = ModelResponse | Callable[[list[ModelMessage]], ModelResponse]


def call(name: str, id_: str, **args: Any) -> ToolCallPart:
    return ToolCallPart(tool_name(name), args, tool_call_id=id_)


def calls(*parts: ToolCallPart) -> ModelResponse:
    return ModelResponse(parts=list(parts))


def says(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)])


def returned(messages: Sequence[ModelMessage]) -> dict[str, str]:
    """What the model was told of each call, by the call's id."""
    return {
        part.tool_call_id: str(part.content)
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart | RetryPromptPart)
    }


class Stage:
    """A scripted model, recorded tool calls and what was saved."""

    def __init__(self, *answers: Answer, tool: Callable[[str, dict[str, Any], str], Any] | None = None):
        self.answers = list(answers)
        self.tool = tool or (lambda name, args, id_: {"degrees": 21})
        self.called: list[tuple[str, dict[str, Any], str]] = []
        self.saved: list[str] = []
        self.seen: list[list[ModelMessage]] = []
        self.info: AgentInfo | None = None

    def _model(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.seen.append(messages)
        self.info = info
        answer = self.answers.pop(0)
        return answer if isinstance(answer, ModelResponse) else answer(messages)

    async def _call(self, name: str, args: dict[str, Any], id_: str) -> Any:
        self.called.append((name, args, id_))
        value = self.tool(name, args, id_)
        return await value if asyncio.iscoroutine(value) else value

    async def _save(self, text: str) -> None:
        self.saved.append(text)

    async def run(self, limits: Limits | None = None, **options: Any) -> Outcome:
        executor = Executor(
            FunctionModel(self._model, model_name="scripted"),
            SPECS,
            self._call,
            limits=limits or Limits(),
            save=self._save,
        )
        return await executor.run("Request: the weather", **options)


async def test_tools_are_offered_called_with_their_arguments_and_their_results_reach_the_model() -> None:
    stage = Stage(
        calls(call("weather.now", "c1", city="Rome")),
        lambda messages: says(f"It is {returned(messages)['c1']}"),
    )
    outcome = await stage.run()
    assert stage.called == [("weather.now", {"city": "Rome"}, "c1")]
    assert outcome.answer == 'It is {"degrees": 21}'
    assert (outcome.model, outcome.steps, outcome.pending) == ("scripted", 2, [])
    assert outcome.tokens > 0
    assert stage.info is not None
    offered = {tool.name: tool for tool in stage.info.function_tools}
    assert set(offered) == {"weather__now", "door__open"}
    assert offered["weather__now"].description == "The weather."
    assert offered["weather__now"].parameters_json_schema == SCHEMA
    (done,) = outcome.calls
    assert (done.id, done.name, done.args, done.ok) == ("c1", "weather.now", {"city": "Rome"}, True)
    assert done.result == '{"degrees": 21}'


async def test_the_model_is_told_of_a_tool_that_failed() -> None:
    def fails(*_: Any) -> Any:
        raise JobFailed("job 1 ended dead: OSError: no route", kind="OSError", category="transient")

    stage = Stage(
        calls(call("weather.now", "c1", city="Rome")), lambda m: says(returned(m)["c1"]), tool=fails
    )
    outcome = await stage.run()
    assert outcome.answer == "weather.now failed: job 1 ended dead: OSError: no route"
    assert [(one.ok, one.result) for one in outcome.calls] == [(False, outcome.answer)]


async def test_wrong_arguments_go_back_to_the_model_which_corrects_them() -> None:
    def tool(name: str, args: dict[str, Any], id_: str) -> Any:
        if args["city"] == "":
            raise PayloadError("weather.now: city: expected a name")
        return "sunny"

    def corrects(messages: list[ModelMessage]) -> ModelResponse:
        assert "city: expected a name" in returned(messages)["c1"]
        return calls(call("weather.now", "c2", city="Rome"))

    stage = Stage(calls(call("weather.now", "c1", city="")), corrects, says("sunny"), tool=tool)
    outcome = await stage.run()
    assert outcome.answer == "sunny"
    assert [(one.id, one.ok) for one in outcome.calls] == [("c1", False), ("c2", True)]


async def test_a_model_that_never_gives_right_arguments_is_a_transient_failure() -> None:
    def tool(*_: Any) -> Any:
        raise InvalidInput("no such city")

    stage = Stage(*(calls(call("weather.now", f"c{n}", city="?")) for n in range(9)), tool=tool)
    with pytest.raises(TransientError):
        await stage.run()


async def test_trouble_of_the_ledger_is_not_told_to_the_model() -> None:
    def tool(*_: Any) -> Any:
        raise LedgerUnavailable("the database is away")

    with pytest.raises(LedgerUnavailable):
        await Stage(calls(call("weather.now", "c1", city="Rome")), says("never"), tool=tool).run()


@pytest.mark.parametrize(("yes", "opened"), [(True, [("door.open", {"city": "Rome"}, "c2")]), (False, [])])
async def test_a_run_waits_for_approval_and_goes_on_without_repeating_finished_calls(
    yes: bool, opened: list[Any]
) -> None:
    first = Stage(calls(call("weather.now", "c1", city="Rome"), call("door.open", "c2", city="Rome")))
    waiting = await first.run()
    assert [(one.id, one.name, one.args) for one in waiting.pending] == [
        ("c2", "door.open", {"city": "Rome"})
    ]
    assert waiting.answer == ""
    assert [name for name, _, _ in first.called] == ["weather.now"]

    second = Stage(lambda messages: says(returned(messages)["c2"]))
    outcome = await second.run(history=first.saved[-1], approvals={"c2": yes})
    assert second.called == opened
    assert outcome.pending == []
    assert outcome.answer == ('{"degrees": 21}' if yes else "The person did not agree to this call.")
    assert returned(second.seen[0])["c1"] == '{"degrees": 21}'


async def test_one_of_two_pending_calls_may_be_refused() -> None:
    first = Stage(calls(call("door.open", "a", city="Rome"), call("door.open", "b", city="Oslo")))
    assert {one.id for one in (await first.run()).pending} == {"a", "b"}
    second = Stage(says("done"))
    await second.run(history=first.saved[-1], approvals={"a": True, "b": False})
    assert second.called == [("door.open", {"city": "Rome"}, "a")]


async def test_the_history_is_saved_after_each_answer_and_before_its_tools_run() -> None:
    saved_before: list[int] = []
    stage = Stage(
        calls(call("weather.now", "c1", city="Rome")),
        calls(call("weather.now", "c2", city="Oslo")),
        says("done"),
        tool=lambda *_: saved_before.append(len(stage.saved)),
    )
    await stage.run()
    assert saved_before == [1, 2]
    assert '"c1"' in stage.saved[0]
    assert "done" in stage.saved[-1]


async def test_after_a_crash_finished_calls_are_not_repeated_and_a_pending_one_keeps_its_id() -> None:
    def dies(name: str, args: dict[str, Any], id_: str) -> Any:
        if id_ == "c2":
            raise LedgerUnavailable("as good as a crash")
        return "sunny"

    first = Stage(
        calls(call("weather.now", "c1", city="Rome")),
        calls(call("weather.now", "c2", city="Oslo")),
        tool=dies,
    )
    with pytest.raises(LedgerUnavailable):
        await first.run()
    second = Stage(says("done"), tool=lambda *_: "rain")
    outcome = await second.run(history=first.saved[-1])
    assert second.called == [("weather.now", {"city": "Oslo"}, "c2")]
    assert returned(second.seen[0]) == {"c1": '"sunny"', "c2": '"rain"'}
    assert outcome.answer == "done"
    assert [(one.id, one.name, one.ok) for one in outcome.calls] == [
        ("c1", "weather.now", True),
        ("c2", "weather.now", True),
    ]
    assert outcome.steps == 3


async def test_limits_hold_for_all_tries_together() -> None:
    first = Stage(calls(call("weather.now", "c1", city="Rome")), calls(call("door.open", "c2", city="Rome")))
    await first.run()
    second = Stage(says("never asked"))
    with pytest.raises(InvalidInput, match="limits"):
        await second.run(Limits(max_steps=2), history=first.saved[-1], approvals={"c2": True})
    assert second.seen == []


async def test_after_a_crash_behind_the_last_answer_the_model_is_not_asked_again() -> None:
    first = Stage(says("the answer"))
    await first.run()
    second = Stage()
    assert (await second.run(history=first.saved[-1])).answer == "the answer"
    assert second.seen == []


async def test_a_crash_while_an_approved_call_runs_needs_no_new_approval() -> None:
    def dies(*_: Any) -> Any:
        raise LedgerUnavailable("as good as a crash")

    first = Stage(calls(call("door.open", "c1", city="Rome")))
    await first.run()
    crashed = Stage(tool=dies)
    with pytest.raises(LedgerUnavailable):
        await crashed.run(history=first.saved[-1], approvals={"c1": True})
    last = (first.saved + crashed.saved)[-1]
    third = Stage(says("open"))
    outcome = await third.run(history=last, approvals={"c1": True})
    assert third.called == [("door.open", {"city": "Rome"}, "c1")]
    assert outcome.answer == "open"


async def test_approvals_that_were_used_up_before_a_crash_are_not_used_again() -> None:
    first = Stage(calls(call("door.open", "c1", city="Rome")))
    await first.run()
    second = Stage(calls(call("weather.now", "c2", city="Rome")), says("unused"))
    await second.run(history=first.saved[-1], approvals={"c1": True})
    after_answer = next(saved for saved in second.saved if "weather__now" in saved)
    third = Stage(says("done"))
    outcome = await third.run(history=after_answer, approvals={"c1": True})
    assert [id_ for _, _, id_ in third.called] == ["c2"]
    assert outcome.answer == "done"


async def _forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("limits", "error", "match"),
    [
        (Limits(max_steps=2), InvalidInput, "limits"),
        (Limits(max_tool_calls=1), InvalidInput, "limits"),
        (Limits(max_tokens=10), InvalidInput, "limits"),
        (Limits(max_seconds=0.05), TimeLimitExceeded, "no answer within 0.05 s"),
    ],
)
async def test_a_run_ends_at_its_limits(limits: Limits, error: type[Exception], match: str) -> None:
    stage = Stage(
        *(calls(call("weather.now", f"c{n}", city="Rome")) for n in range(9)),
        tool=lambda *_: _forever() if limits.max_seconds < 1 else "sunny",
    )
    with pytest.raises(error, match=match):
        await stage.run(limits)
    assert len(stage.called) <= 2


async def test_secrets_in_results_and_in_errors_do_not_reach_the_model() -> None:
    redaction.register("hunter2-hunter2")

    def tool(name: str, args: dict[str, Any], id_: str) -> Any:
        if id_ == "c2":
            raise JobFailed("refused hunter2-hunter2")
        return {"password": "hunter2-hunter2"}

    stage = Stage(
        calls(call("weather.now", "c1", city="Rome"), call("weather.now", "c2", city="Rome")),
        says("done"),
        tool=tool,
    )
    outcome = await stage.run()
    told = returned(stage.seen[-1])
    assert told == {"c1": '{"password": "***"}', "c2": "weather.now failed: refused ***"}
    assert "hunter2" not in str(outcome)
    assert "hunter2" not in stage.saved[-1]


def test_names_become_what_providers_accept() -> None:
    assert tool_name("maintenance.monitor_resource_usage") == "maintenance__monitor_resource_usage"
    assert tool_name("a b/c.é") == "a_b_c___"
    assert len(tool_name("x" * 100)) == 64
