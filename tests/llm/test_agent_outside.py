"""The agent's parts against an OpenAI-compatible server that nobody here wrote, with 429 answers mixed in."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hopyard.errors import RateLimited
from hopyard_ai.agent.context import Context
from hopyard_ai.agent.evaluator import evaluate
from hopyard_ai.agent.executor import Executor, Limits, Outcome, ToolSpec
from hopyard_ai.agent.providers import Endpoint, resolve_model
from outside_llm import OutsideLLM, running_outside_llm
from pydantic import SecretStr
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel

NOTHING = {"type": "object", "properties": {}}
TOOLS = (
    ToolSpec("maintenance.system_health_check", "The system's health.", NOTHING),
    ToolSpec("maintenance.monitor_resource_usage", "Disk and memory.", NOTHING),
)
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


@asynccontextmanager
async def outside(llm: OutsideLLM, key: str) -> AsyncIterator[Model]:
    """The server's model, its connections closed afterwards."""
    model = resolve_model("compatible:gpt-outside", Endpoint(SecretStr(key), llm.url))
    assert isinstance(model, WrapperModel)
    assert isinstance(model.wrapped, OpenAIChatModel)
    async with model.wrapped.client:
        yield model


def due(instruction: str) -> Context:
    return Context("ada", "UTC", NOW, NOW, "A request", instruction, "every day")


def statuses(llm: OutsideLLM) -> list[int]:
    return [entry["response"]["status"] for entry in llm.journal()]


async def one_run(model: Model) -> tuple[Outcome, str]:
    """Run a request for two tools with fresh nonces; check the answer; return what was kept."""
    nonces = {tool.name: secrets.token_hex(8) for tool in TOOLS}
    called: list[str] = []
    saved: list[str] = []

    async def call(name: str, args: dict[str, Any], id_: str) -> Any:
        called.append(name)
        return {"reference": nonces[name]}

    async def save(messages: str) -> None:
        saved.append(messages)

    executor = Executor(model, TOOLS, call, limits=Limits(), save=save)
    outcome = await executor.run(due("Check the system health and the disk usage").prompt())
    assert sorted(called) == sorted(nonces)
    assert all(nonce in outcome.answer for nonce in nonces.values())
    assert all(nonce in saved[-1] for nonce in nonces.values())
    return outcome, "".join(saved)


async def test_the_answer_has_what_both_tools_returned_and_the_key_is_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Runs are repeated until one request was refused, so that waiting it out is part of what is shown."""
    caplog.set_level(logging.DEBUG)
    key = f"sk-{secrets.token_hex(16)}"
    kept = ""
    with running_outside_llm(rate_limited=0.3) as llm:
        async with outside(llm, key) as model:
            for _ in range(20):
                outcome, saved = await one_run(model)
                kept += saved + repr(outcome)
                if 429 in statuses(llm):
                    break
        assert 429 in statuses(llm), "no request was refused: the test has not shown what it should"
    assert key not in kept
    assert key not in caplog.text


async def test_a_server_that_refuses_all_is_a_rate_limit_that_does_not_show_the_key() -> None:
    key = f"sk-{secrets.token_hex(16)}"
    with running_outside_llm(rate_limited=1.0) as llm:
        async with outside(llm, key) as model:
            with pytest.raises(RateLimited) as caught:
                await evaluate(model, due("Check the system health"))
        assert set(statuses(llm)) == {429}
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0
    error: BaseException | None = caught.value
    while error is not None:
        assert key not in f"{error!r} {error}"
        error = error.__cause__


async def test_the_evaluator_acts_and_postpones() -> None:
    with running_outside_llm(rate_limited=0.0) as llm:
        async with outside(llm, "sk-any-key-will-do") as model:
            now = await evaluate(model, due("Check the system health"))
            held = await evaluate(model, due("Check the system health, but not before 14:02:10"))
    assert now.action == "act"
    assert (held.action, held.until) == ("postpone", datetime(2026, 11, 25, 14, 2, 10, tzinfo=UTC))
