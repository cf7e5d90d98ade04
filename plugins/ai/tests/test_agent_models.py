"""Deciding, models by name, patience with a real OpenAI client against a real HTTP server, the context."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hopyard.errors import (
    AuthenticationError,
    InvalidInput,
    RateLimited,
    TimeLimitExceeded,
    TransientError,
)
from hopyard_ai.agent import providers
from hopyard_ai.agent.context import Context, Past
from hopyard_ai.agent.evaluator import Decision, checked, evaluate
from hopyard_ai.agent.providers import (
    OFFLINE,
    Endpoint,
    check_name,
    classify,
    explained,
    resolve_model,
)
from pydantic import SecretStr, ValidationError
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

NOW = datetime(2027, 3, 27, 7, 0, tzinfo=UTC)
KEY = "the-key-0123456789-nobody-may-see"


def context(**changes: Any) -> Context:
    plain: dict[str, Any] = {
        "person": "alice",
        "zone": "Europe/Berlin",
        "now": NOW,
        "due": NOW,
        "title": "Disk",
        "instruction": "Tell me the disk usage",
        "when": "every day at 08:00",
    }
    return Context(**(plain | changes))


# --- context


def test_the_prompt_has_every_fact_once_in_the_persons_own_time() -> None:
    asked = context(
        now=datetime(2027, 3, 28, 6, 0, tzinfo=UTC),  # the first hour of summer time has passed
        due=datetime(2027, 3, 27, 7, 0, tzinfo=UTC),
        quiet_hours="22:00-07:00",
        answers=["The big one"],
        history=[Past(NOW - timedelta(days=1), "done", "71 %\nof  it")],
        before=[Past(NOW, "done", "x" * 2000)],
    )
    assert asked.prompt().splitlines() == [
        "Person: alice",
        "Time zone: Europe/Berlin",
        "Local time now: 2027-03-28T08:00:00+02:00",
        "Due: 2027-03-27T08:00:00+01:00 (every day at 08:00)",
        "Quiet hours: 22:00-07:00",
        "Result of what this depends on: " + "x" * 1500 + " …",
        "Earlier run at 2027-03-26T08:00:00+01:00 (done): 71 % of it",
        "Title: Disk",
        "The person answered: The big one",
        "Request: Tell me the disk usage",
    ]


# --- evaluator


def decides(*outputs: dict[str, Any]) -> FunctionModel:
    left = list(outputs)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, left.pop(0))])

    return FunctionModel(answer)


async def test_the_model_decides_to_act_to_postpone_or_to_ask() -> None:
    assert (await evaluate(decides({"action": "act", "reason": "due"}), context())).action == "act"
    later = (NOW + timedelta(hours=2)).isoformat()
    postponed = await evaluate(decides({"action": "postpone", "until": later}), context())
    assert (postponed.action, postponed.until) == ("postpone", NOW + timedelta(hours=2))
    asked = await evaluate(decides({"action": "ask", "question": "Which disk?"}), context())
    assert (asked.action, asked.question) == ("ask", "Which disk?")


@pytest.mark.parametrize(
    "decision",
    [
        Decision(action="postpone", until=NOW - timedelta(seconds=1)),
        Decision(action="postpone", until=NOW),
        Decision(action="postpone"),
        Decision(action="ask"),
        Decision(action="ask", question=""),
    ],
)
def test_what_cannot_be_carried_out_is_an_act(decision: Decision) -> None:
    found = checked(decision, NOW)
    assert (found.action, found.until, found.question) == ("act", None, None)
    assert found.reason


async def test_output_that_is_no_decision_is_asked_for_again_and_then_an_act() -> None:
    repaired = decides({"action": "dance"}, {"action": "act"})
    assert (await evaluate(repaired, context())).action == "act"
    none = await evaluate(decides(*[{"action": "dance"}] * 5), context())
    assert (none.action, none.reason) == ("act", "the model gave no decision")


# --- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-5", "expected PROVIDER:MODEL"),
        ("openai:", "expected PROVIDER:MODEL"),
        ("opanai:gpt-5", "openai, azure, anthropic, compatible"),
        ("local:big", f"the only local model is {OFFLINE}"),
    ],
)
def test_a_model_without_a_known_provider_is_refused_with_what_was_expected(name: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        check_name(name)
    from hopyard_ai.settings import AISettings

    with pytest.raises(ValidationError, match=expected):
        AISettings(model=name)


@pytest.mark.parametrize("name", ["openai:gpt-5-mini", "azure:x", "anthropic:y", "compatible:a:7b", OFFLINE])
def test_known_names_stay_as_they_are(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "endpoint", "needs"),
    [
        ("openai:gpt-5-mini", Endpoint(), "api_key"),
        ("azure:gpt", Endpoint(SecretStr(KEY)), "base_url"),
        ("compatible:llama", Endpoint(), "base_url"),
        ("anthropic:claude", Endpoint(), "api_key"),
    ],
)
def test_a_model_that_lacks_its_key_or_address_says_which_setting(
    name: str, endpoint: Endpoint, needs: str
) -> None:
    with pytest.raises(AuthenticationError, match=needs) as caught:
        resolve_model(name, endpoint)
    assert KEY not in str(caught.value)


# --- patience: a real client and a real server


class Server:
    """An OpenAI-compatible server that answers from a list of (status, headers, body)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.times: list[float] = []
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.times.append(time.monotonic())
                outer.keys.append(self.headers["authorization"])
                status, headers, body = outer.answers.pop(0) if outer.answers else (200, {}, completion())
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def model(self, **options: Any) -> Any:
        return resolve_model("compatible:tiny", Endpoint(SecretStr(KEY), self.url, **options))


def completion(text: str = "ready") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }


def refusal(status: int, said: str = f"no: Bearer {KEY}", **headers: str) -> tuple[int, dict[str, str], Any]:
    return status, {k.replace("_", "-"): v for k, v in headers.items()}, {"error": {"message": said}}


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that patience makes, in seconds; they pass at once."""
    made: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, *args: Any) -> None:
        if seconds > 0:
            made.append(seconds)
        await real(0, *args)

    monkeypatch.setattr("hopyard_ai.agent.patience.asyncio.sleep", sleep)
    return made


async def test_the_key_is_sent_and_the_answer_comes_back(server: Server) -> None:
    answer = await Agent(server.model()).run("hello")
    assert answer.output == "ready"
    assert server.keys == [f"Bearer {KEY}"]


async def test_a_short_rate_limit_is_waited_for(server: Server) -> None:
    server.answers = [refusal(429, retry_after="1")]
    answer = await Agent(server.model()).run("hello")
    assert answer.output == "ready"
    assert len(server.times) == 2
    assert server.times[1] - server.times[0] >= 1.0


async def test_a_long_rate_limit_is_handed_to_the_ledger_with_its_time(server: Server) -> None:
    server.answers = [refusal(429, retry_after="77")]
    with pytest.raises(RateLimited) as caught:
        await Agent(server.model()).run("hello")
    assert caught.value.retry_after == 77.0
    assert len(server.times) == 1
    assert KEY not in str(caught.value)


async def test_hiccups_are_waited_out_ever_longer_and_at_most_five_times(
    server: Server, waits: list[float]
) -> None:
    server.answers = [refusal(503)] * 2
    assert (await Agent(server.model()).run("hello")).output == "ready"
    assert waits == [0.4, 0.8]
    server.answers = [refusal(500)] * 9
    with pytest.raises(TransientError, match="answered 500"):
        await Agent(server.model()).run("hello")
    assert len(server.times) == 3 + 5


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (403, AuthenticationError), (400, InvalidInput), (404, InvalidInput)],
)
async def test_what_does_not_pass_by_itself_is_told_at_once_without_the_key(
    server: Server, status: int, error: type[Exception]
) -> None:
    from hopyard import redaction

    redaction.register(KEY)
    server.answers = [refusal(status)]
    with pytest.raises(error) as caught:
        await Agent(server.model()).run("hello")
    assert len(server.times) == 1
    assert KEY not in str(caught.value)


async def test_a_server_that_is_away_is_transient_and_a_slow_one_is_a_timeout(
    server: Server, waits: list[float]
) -> None:
    from servers import free_port

    away = resolve_model("compatible:tiny", Endpoint(base_url=f"http://127.0.0.1:{free_port()}/v1"))
    with pytest.raises(TransientError, match="cannot be reached"):
        await Agent(away).run("hello")
    open_: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: open_.append(writer), "127.0.0.1", 0)
    try:
        port = silent.sockets[0].getsockname()[1]
        slow = resolve_model("compatible:tiny", Endpoint(base_url=f"http://127.0.0.1:{port}/v1", timeout=0.2))
        with pytest.raises(TimeLimitExceeded):
            await Agent(slow).run("hello")
    finally:
        for writer in open_:
            writer.close()
        silent.close()
        await silent.wait_closed()


async def test_a_check_tells_whether_a_model_answers(server: Server) -> None:
    ok, seconds, detail = await providers.check(server.model(), 5)
    assert (ok, detail) == (True, "ready")
    assert 0 <= seconds < 5
    server.answers = [refusal(401)]
    ok, _, detail = await providers.check(server.model(), 5)
    assert not ok
    assert "the key is refused" in detail
    assert KEY not in detail


async def test_a_check_that_takes_too_long_says_so() -> None:
    async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.Event().wait()
        return ModelResponse(parts=[TextPart("")])

    assert await providers.check(FunctionModel(never), 0.05) == (False, 0.05, "no answer within 0.05 s")


def test_what_a_server_sends_that_is_no_json_is_shown_to_the_operator() -> None:
    try:
        try:
            json.loads("<html>login</html>")
        except ValueError as cause:
            raise ModelAPIError("some-model", "Connection error.") from cause
    except ModelAPIError as error:
        found = classify(error)
    assert isinstance(found, TransientError)
    assert "no JSON: '<html>login</html>'" in str(found)
    assert explained(found) == "The model gave no answer that could be used."
