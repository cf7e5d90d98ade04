"""The offline model calls what a request plainly means, changes nothing unasked, and says what it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hopyard_ai.offline import NAME, offline_model
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, Tool, ToolFailed
from pydantic_ai.messages import ToolCallPart

DISK = {
    "reference": "R-7KQ2ZD",
    "cpu_percent": 3.0,
    "disks": [
        {"path": "/", "used": 32100000000, "summary": "The disk / is 64 % full: 32.1 of 50.0 GB used."}
    ],
    "summary": "CPU is at 3 %, the disk / is 64 % full.",
}
OFFERED: dict[str, tuple[bool, Callable[..., Any]]] = {}


def offers(name: str, *, read_only: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        OFFERED[name] = (read_only, function)
        return function

    return keep


@offers("maintenance.monitor_resource_usage")
def monitor() -> dict[str, Any]:
    """Measure this machine's resource usage: CPU, memory (RAM), disk space usage, jobs that wait."""
    return DISK


@offers("maintenance.system_health_check")
def health() -> dict[str, Any]:
    """Check the health of the system: database, broker, workers, scheduler and every plugin's own checks."""
    return {"reference": "R-AAAAAA", "ok": True, "summary": "All 9 health checks are in order."}


@offers("site.exchange_rate")
def exchange_rate(currency: str) -> dict[str, Any]:
    """Look up the exchange rate of a currency, for example EUR, GBP or NOK."""
    return {"currency": currency, "dollars": 1.09}


@offers("site.weather")
def weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Weather forecast of a city."""
    return f"Sunny in {city}, in {unit}."


@offers("site.broken")
def broken() -> str:
    """The stock of the warehouse."""
    raise ToolFailed("no route to the warehouse")


@offers("site.water_zone", read_only=False)
def water_zone(zone: int) -> str:
    """Water a zone of the garden."""
    return f"zone {zone} was watered"


@offers("site.create_invoice", read_only=False)
def create_invoice(customer: str, amount: float) -> str:
    """Create an invoice for a customer."""
    return f"invoice for {customer}: {amount}"


@offers("site.open_gate", read_only=False)
def open_gate(who: str) -> str:
    """Open the gate."""
    return f"the gate is open for {who}"


@offers("post.send", read_only=False)
def send(to: list[str], subject: str = "", text: str | None = None) -> str:
    """Send an email: to whom, a subject, and a text."""
    return f"queued for {', '.join(to)}: {subject}"


def tools() -> list[Tool[None]]:
    made = []
    for name, (read_only, function) in OFFERED.items():
        tool: Tool[None] = Tool(function, takes_ctx=False, name=name.replace(".", "__"))
        tool.metadata = {"name": name, "description": function.__doc__, "read_only": read_only}
        made.append(tool)
    return made


async def ask(request: str) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """Return the calls that were made, and the answer."""
    run = await Agent(offline_model(), tools=tools()).run(f"Person: alice\nRequest: {request}")
    calls = [
        (part.tool_name.replace("__", "."), part.args_as_dict())
        for message in run.all_messages()
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    return calls, run.output


PLAIN = {
    "Tell me the disk usage": [("maintenance.monitor_resource_usage", {})],
    "tell me the disk usage, please": [("maintenance.monitor_resource_usage", {})],
    "What is the memory usage?": [("maintenance.monitor_resource_usage", {})],
    "Check the system health and measure the resource usage of this machine": [
        ("maintenance.system_health_check", {}),
        ("maintenance.monitor_resource_usage", {}),
    ],
    "Look up the exchange rate for EUR": [("site.exchange_rate", {"currency": "EUR"})],
    "What is the exchange rate of NOK?": [("site.exchange_rate", {"currency": "NOK"})],
    "Tell me the weather in Rome": [("site.weather", {"city": "Rome"})],
    "Tell me the weather forecast for New York": [("site.weather", {"city": "New York"})],
    'Show the weather of "st. ives"': [("site.weather", {"city": "st. ives"})],
    "Tell me the weather in Rome in fahrenheit": [("site.weather", {"city": "Rome", "unit": "fahrenheit"})],
    "Check the system health, but not before 14:02:10": [("maintenance.system_health_check", {})],
    "Run site.open_gate for visitors": [("site.open_gate", {"who": "visitors"})],
    "site.water_zone zone=5": [("site.water_zone", {"zone": 5})],
    "Please run site.water_zone with zone: 5": [("site.water_zone", {"zone": 5})],
    "Run post.send to ada@x.example": [("post.send", {"to": ["ada@x.example"]})],
    'post.send to ada@x.example and bob@x.example, subject "Tea", text: "Friday at 5 and not later?"': [
        (
            "post.send",
            {
                "subject": "Tea",
                "text": "Friday at 5 and not later?",
                "to": ["ada@x.example", "bob@x.example"],
            },
        )
    ],
}


@pytest.mark.parametrize(("request_", "expected"), PLAIN.items())
async def test_what_is_plainly_meant_is_called(request_: str, expected: list[Any]) -> None:
    calls, answer = await ask(request_)
    assert calls == expected
    assert "A model is needed" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        "Should I water zone 5?",
        "I watered zone 5 already",
        "Water zone 5",
        "Create an invoice for Acme over 1,250.50 USD due 15 January 2027",
        "Open the gate",
        "Open the gate for the visitors",
        "Do not run site.open_gate for visitors",
        "Should I run site.open_gate for visitors?",
        "Can you run site.open_gate for visitors?",
        "I ran site.water_zone zone=5",
        "When it rains run site.water_zone zone=5",
        "Run site.water_zone",
        "Run site.water_zone zone=lots",
        "Run site.open_gate for visitors unless it is dark",
        "Run post.send to Ada",
        'Run post.send to ada@x.example, subject "Tea" for all of them',
        "Run post.send to ada@x.example and water zone 5",
        "Don't tell me the disk usage",
        "Tell me if the disk is full",
        "Tell me the weather",
        "Tell me the weather in Rome or Oslo",
        "Tell me the disk usage of the moon",
        "Tell me a joke",
        "Write a poem about the disk usage",
        "Delete the disk",
        "Check",
        "Call Bob",
        "",
    ],
)
async def test_what_is_not_plain_is_left_and_that_is_said(request_: str) -> None:
    calls, answer = await ask(request_)
    assert calls == []
    assert answer.startswith("A model is needed for this: ")
    assert "[plugins.ai.settings]" in answer


async def test_of_two_things_the_plain_one_is_done_and_the_other_named() -> None:
    calls, answer = await ask("Tell me the disk usage and water zone 5")
    assert [name for name, _ in calls] == ["maintenance.monitor_resource_usage"]
    assert "A model is needed for this: “water zone 5”" in answer


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("Tell me the disk usage", "The disk / is 64 % full: 32.1 of 50.0 GB used. (R-7KQ2ZD)"),
        ("Measure the resource usage", "CPU is at 3 %, the disk / is 64 % full. (R-7KQ2ZD)"),
        ("Check the system health", "All 9 health checks are in order. (R-AAAAAA)"),
        ("Look up the exchange rate for EUR", "Exchange rate: currency EUR, dollars 1.09."),
        ("Tell me the weather in Rome", "Sunny in Rome, in celsius."),
        ("Tell me the stock of the warehouse", "Broken did not work: no route to the warehouse"),
    ],
)
async def test_answers_are_what_a_person_would_write(request_: str, expected: str) -> None:
    assert (await ask(request_))[1] == expected


async def test_without_annotations_a_tool_may_change_something() -> None:
    def disk_usage() -> str:
        """How full the disk is."""
        return "41 %"

    run = await Agent(offline_model(), tools=[disk_usage]).run("Tell me the disk usage")
    assert run.output.startswith("A model is needed")
    assert run.response.model_name == NAME
    assert json.loads(run.all_messages_json())


class Verdict(BaseModel):
    """What to do."""

    action: Literal["act", "postpone", "ask"]
    until: str | None = None
    question: str | None = None
    reason: str = ""


def at(time: str, rest: str) -> str:
    """Return a prompt of that time of day."""
    return f"Local time now: 2026-11-25T{time}:00+01:00\nTime zone: Europe/Berlin\n{rest}"


DECISIONS = {
    "Request: check the disk": ("act", None),
    at("10:00", "Request: check it, but not before 14:02:10"): (
        "postpone",
        "2026-11-25T14:02:10+01:00",
    ),
    at("15:00", "Request: check it, but not before 14:02:10"): (
        "act",
        None,
    ),
    at("23:10", "Quiet hours: 22:00-07:00\nRequest: call Bob"): (
        "postpone",
        "2026-11-26T07:00:00+01:00",
    ),
    at("12:10", "Quiet hours: 22:00-07:00\nRequest: call Bob"): (
        "act",
        None,
    ),
    "Request: ": ("ask", None),
    "Request: ...": ("ask", None),
}


@pytest.mark.parametrize(("prompt", "expected"), DECISIONS.items())
@pytest.mark.parametrize("native", [False, True])
async def test_it_decides_by_what_the_request_and_the_quiet_hours_say(
    prompt: str, expected: tuple[str, str | None], native: bool
) -> None:
    agent: Agent[None, Verdict] = Agent(
        offline_model(), output_type=NativeOutput(Verdict) if native else Verdict
    )
    decision = (await agent.run(prompt)).output
    assert (decision.action, decision.until) == expected
    assert decision.reason
    assert (decision.question is not None) == (decision.action == "ask")
