"""The agent with a real engine and a model so small that most of what it says is wrong.

Whatever it answers, nothing may be silently wrong: the request ends, its record says which tools were called
and what they returned, and where none was called its person is told so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hopyard.testing import Hop
from hopyard_ai import AI
from hopyard_ai.agent.context import Context
from hopyard_ai.agent.evaluator import evaluate
from hopyard_ai.agent.providers import Endpoint, resolve_model
from hopyard_maintenance import Maintenance
from llama import running_grammar, running_llama
from pydantic import SecretStr
from pydantic_ai.models.wrapper import WrapperModel

pytestmark = pytest.mark.timeout(400)
USAGE = "maintenance.monitor_resource_usage"
SAID = "in 1 minute tell me the disk usage"


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_llama() as url:
        yield url


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Any]:
    """Makes an installation whose model is at a base URL."""
    with ExitStack() as stack:

        def make(url: str) -> Hop:
            settings = {
                "plugins.ai.settings": {
                    "model": "compatible:smollm2",
                    "base_url": url,
                    "api_key": "none",
                    "tools": [USAGE],
                }
            }
            plugins = {"ai": AI, "maintenance": Maintenance}
            # On two busy processors each of its answers takes many seconds.
            return stack.enter_context(Hop(plugins, folder=tmp_path, settings=settings, within=300))

        yield make


def acted_on(hop: Hop) -> dict[str, Any]:
    """Ask for the disk usage, let its time come, and return the run."""
    hop.run("ai.create_ai_reminder", SAID, person="ada").result()
    hop.pass_time(61)
    [acted] = hop.jobs("ai.act")
    run: dict[str, Any] = json.loads(hop.outcome(acted["id"]).result().model_dump_json())
    return run


async def test_the_evaluators_decision_has_its_form(engine: str) -> None:
    model = resolve_model("compatible:smollm2", Endpoint(SecretStr("none"), engine))
    assert isinstance(model, WrapperModel)
    now = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
    due = Context("ada", "UTC", now, now, "A request", "Tell me the disk usage", "once")
    async with model.wrapped.client:  # type: ignore[attr-defined]
        decision = await evaluate(model, due)
    assert decision.action in ("act", "postpone", "ask")
    assert decision.until is None or decision.until > now


def test_whatever_it_answers_by_itself_its_person_is_told_what_was_done(engine: str, place: Any) -> None:
    hop = place(engine)
    run = acted_on(hop)
    [told] = hop.notifications
    assert run["state"] in ("done", "failed", "asking", "postponed")
    if run["state"] == "done":
        assert run["answer"] in told["body"]
        assert ("used no tool" in told["body"]) == (not run["calls"])


def test_bound_to_the_grammar_of_a_call_it_uses_the_tool_and_answers(engine: str, place: Any) -> None:
    with running_grammar(engine) as url:
        hop = place(url)
        run = acted_on(hop)
    [call] = run["calls"]
    [told] = hop.notifications
    assert (run["state"], run["steps"], call["name"], call["ok"]) == ("done", 2, USAGE, True)
    kept = [json.loads(row["data"])["reference"] for row in hop.fetch("SELECT data FROM maintenance_sample")]
    assert json.loads(call["result"])["reference"] in kept  # it is what the task has really measured
    assert told["body"] == run["answer"] != ""
