"""The agent against a server of models with the faults of real ones, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from faulty_llm import KEY, PASSING, PERMANENT, FaultyLLM, Reply, calls, refuses, running_faulty_llm, says
from hopyard import redaction
from hopyard.errors import (
    HopyardError,
    InvalidInput,
    RateLimited,
    TaskError,
    TimeLimitExceeded,
    TransientError,
)
from hopyard_ai.agent.context import Context
from hopyard_ai.agent.evaluator import evaluate
from hopyard_ai.agent.executor import Executor, Limits, Outcome, ToolSpec
from hopyard_ai.agent.providers import Endpoint, explained, resolve_model
from pydantic import SecretStr
from pydantic_ai.models.wrapper import WrapperModel

TOWN = {"type": "object", "properties": {"town": {"type": "string"}}}
NOW = datetime(2027, 3, 28, 6, 0, tzinfo=UTC)


@pytest.fixture
def llm() -> Iterator[FaultyLLM]:
    with running_faulty_llm() as made:
        yield made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before another try, in seconds; they pass at once."""
    made: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, *args: Any) -> Any:
        if seconds > 0:
            made.append(seconds)
        return await real(0, *args)

    monkeypatch.setattr("hopyard_ai.agent.patience.asyncio.sleep", sleep)
    return made


@asynccontextmanager
async def model_of(url: str, seconds: float = 20.0) -> AsyncIterator[Any]:
    """A model at an address, its connections closed afterwards."""
    model = resolve_model("compatible:tiny", Endpoint(SecretStr(KEY), url, timeout=seconds))
    assert isinstance(model, WrapperModel)
    async with model.wrapped.client:  # type: ignore[attr-defined]
        yield model


class Ran:
    """What one run called and kept."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, Any], str]] = []
        self.saved = ""

    async def run(self, llm: FaultyLLM, *replies: Reply, seconds: float = 20.0) -> Outcome:
        llm.replies[:] = replies

        async def call(name: str, args: dict[str, Any], id_: str) -> Any:
            self.called.append((name, args, id_))
            return "sunny"

        async def save(messages: str) -> None:
            self.saved = messages

        async with model_of(llm.url, seconds) as model:
            tools = [ToolSpec("weather", "The weather.", TOWN)]
            return await Executor(model, tools, call, limits=Limits(), save=save).run("Request: the weather")


async def answered(llm: FaultyLLM, *replies: Reply, **options: Any) -> Outcome:
    return await Ran().run(llm, *replies, **options)


def due() -> Context:
    return Context("ada", "UTC", NOW, NOW, "A request", "Tell me the weather", "every day")


@pytest.mark.parametrize("fault", PASSING)
async def test_what_passes_is_asked_again(llm: FaultyLLM, waits: list[float], fault: str) -> None:
    assert (await answered(llm, PASSING[fault])).answer == "ready"
    assert len(llm.requests) == 2


@pytest.mark.parametrize("fault", PASSING)
async def test_what_does_not_pass_after_all_is_transient_and_told_in_a_sentence(
    llm: FaultyLLM, waits: list[float], fault: str
) -> None:
    with pytest.raises((TransientError, RateLimited)) as caught:
        await answered(llm, *[PASSING[fault]] * 9)
    told = explained(caught.value)
    assert told.startswith("The model")
    assert not set(told) & set("{}<>")
    assert len(waits) == 4


@pytest.mark.parametrize("fault", PERMANENT)
async def test_what_never_passes_is_asked_once_with_the_servers_reason(
    llm: FaultyLLM, waits: list[float], fault: str
) -> None:
    reply, reason = PERMANENT[fault]
    with pytest.raises(TaskError) as caught:
        await answered(llm, reply)
    assert not isinstance(caught.value, TransientError | RateLimited)
    assert reason in str(caught.value)
    assert len(llm.requests) == 1
    told = explained(caught.value)
    assert "\n" not in told
    assert not set(told) & set("{}")


async def test_texts_are_whole_before_they_are_kept(llm: FaultyLLM) -> None:
    ran = Ran()
    outcome = await ran.run(
        llm, calls(("1", "weather", {"town": "Rome\0\ud800"})), says("half \ud83d and NUL \0.")
    )
    outcome.answer.encode()
    ran.saved.encode()
    assert "\0" not in outcome.answer
    assert "\\u0000" not in ran.saved
    assert ran.called[0][1]["town"].startswith("Rome")
    "".join(ran.called[0][1]["town"]).encode()


async def test_a_gateway_that_echoes_the_key_is_masked_before_anything_is_kept(llm: FaultyLLM) -> None:
    ran = Ran()
    echo = calls(("1", "weather", {"town": f"Rome {KEY}"}))
    outcome = await ran.run(llm, echo, says(f"Authorization: Bearer {KEY} and {KEY}"))
    assert KEY not in outcome.answer
    assert KEY not in ran.saved
    assert KEY not in str(ran.called)


def test_a_masked_result_is_still_json() -> None:
    redaction.register("hunter2-hunter2")
    from hopyard_ai.agent.answers import encoded

    text = encoded({"header": 'Authorization: Bearer abc"', "password": 'x="hunter2-hunter2"'})
    assert set(json.loads(text)) == {"header", "password"}
    assert "hunter2" not in text


@pytest.mark.parametrize("args", ["[1, 2]", '"Rome"', "7", "null x", "{", '{"town": '])
async def test_arguments_that_are_no_object_are_told_to_the_model(llm: FaultyLLM, args: str) -> None:
    ran = Ran()
    outcome = await ran.run(
        llm, calls(("1", "weather", args)), calls(("2", "weather", {"town": "Rome"})), says("Sunny.")
    )
    assert outcome.answer == "Sunny."
    assert [args for _, args, _ in ran.called] == [{"town": "Rome"}]
    assert "no JSON object" in json.dumps(llm.requests[1]["messages"])


async def test_calls_with_one_id_are_two_calls(llm: FaultyLLM) -> None:
    ran = Ran()
    first = calls(("0", "weather", {"town": "Rome"}), ("0", "weather", {"town": "Oslo"}))
    await ran.run(llm, first, calls(("0", "weather", {"town": "Bonn"})), says("Sunny."))
    assert [args["town"] for _, args, _ in ran.called] == ["Rome", "Oslo", "Bonn"]
    assert len({id_ for _, _, id_ in ran.called}) == 3


async def test_an_answer_that_was_cut_off_says_so(llm: FaultyLLM) -> None:
    outcome = await answered(llm, says("It will be", "length"))
    assert outcome.answer.startswith("It will be … [the model's answer was cut off")


async def test_a_call_that_was_cut_off_does_not_run(llm: FaultyLLM) -> None:
    ran = Ran()
    outcome = await ran.run(
        llm, calls(("1", "weather", {"town": "Ro"}), finish="length"), says("Nothing was done.")
    )
    assert (ran.called, outcome.answer) == ([], "Nothing was done.")


async def test_a_request_has_a_limit_however_slowly_its_answer_drips_in(llm: FaultyLLM) -> None:
    with pytest.raises(TimeLimitExceeded, match=r"within 0\.5 s"):
        await answered(llm, Reply("", drips=True), seconds=0.5)
    assert len(llm.requests) == 1


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        (refuses(429, after=0), 0.4),
        (refuses(503, after=3), 3.0),
        (refuses(429, after=2), 2.0),
        (refuses(503), 0.4),
    ],
)
async def test_servers_are_given_the_time_that_they_ask_for(
    llm: FaultyLLM, waits: list[float], reply: Reply, pause: float
) -> None:
    assert (await answered(llm, reply)).answer == "ready"
    assert waits == [pause]


@pytest.mark.parametrize("after", [31_536_000, "Fri, 31 Dec 2999 23:59:59 GMT"])
async def test_a_server_that_asks_for_a_year_gets_an_hour(llm: FaultyLLM, after: Any) -> None:
    with pytest.raises(RateLimited, match="asks to wait") as caught:
        await answered(llm, refuses(503, after=after))
    assert caught.value.retry_after == 3600.0
    assert len(llm.requests) == 1


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("http://127.0.0.1:1/v1", TransientError, "refused"),
        ("http://no-such-host.invalid/v1", HopyardError, "name"),
        ("https://{host}/v1", HopyardError, "SSL|TLS"),
    ],
)
async def test_why_a_server_cannot_be_reached_is_said(
    llm: FaultyLLM, waits: list[float], url: str, error: type[Exception], said: str
) -> None:
    host = llm.url.removeprefix("http://").removesuffix("/v1")
    async with model_of(url.format(host=host)) as model:
        executor = Executor(
            model, [], lambda *_: asyncio.sleep(0), limits=Limits(), save=lambda _: asyncio.sleep(0)
        )
        with pytest.raises(error, match=rf"(?i){said}") as caught:
            await executor.run("hello")
    assert explained(caught.value).startswith("The model could not be reached")
    assert bool(waits) is isinstance(caught.value, TransientError)


# --- deciding


async def test_a_decision_is_asked_for_by_its_schema(llm: FaultyLLM) -> None:
    llm.replies = [
        says(json.dumps({"action": "postpone", "until": "2027-03-28T08:00:00Z", "reason": "quiet"}))
    ]
    async with model_of(llm.url) as model:
        decision = await evaluate(model, due())
    assert decision.action == "postpone"
    assert llm.requests[0]["response_format"]["type"] == "json_schema"
    assert not llm.requests[0].get("tools")


async def test_a_server_that_takes_no_schema_is_asked_in_words(llm: FaultyLLM) -> None:
    llm.replies = [
        refuses(400, "response_format is not supported"),
        says('{"action": "ask", "question": "Which?"}'),
    ]
    async with model_of(llm.url) as model:
        decision = await evaluate(model, due())
    assert (decision.action, decision.question) == ("ask", "Which?")


@pytest.mark.parametrize("reply", [says("I would do it now."), says("{}"), says(""), Reply({})])
async def test_no_decision_is_an_act(llm: FaultyLLM, waits: list[float], reply: Reply) -> None:
    llm.replies = [reply] * 20
    async with model_of(llm.url) as model:
        assert (await evaluate(model, due())).action == "act"


async def test_a_refusal_is_no_decision_and_is_not_asked_for_again(llm: FaultyLLM) -> None:
    llm.replies = [says(None, refusal="No.")] * 9
    async with model_of(llm.url) as model:
        with pytest.raises(InvalidInput, match="declined"):
            await evaluate(model, due())
    assert len(llm.requests) == 1
