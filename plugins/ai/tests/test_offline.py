"""The offline model chooses, fills and calls tools it has never seen, and answers with what they returned."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Literal

import pytest
from hopyard_ai.offline import NAME, offline_model
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolFailed
from pydantic_ai.messages import ToolCallPart


class Unit(StrEnum):
    METRIC = "metric"
    IMPERIAL = "imperial"


def get_weather(city: str, days: int = 1, unit: Unit = Unit.METRIC) -> dict[str, Any]:
    """Weather forecast for a city."""
    return {"city": city, "temperature": "7 °C", "days": days, "unit": unit}


def disk_usage(path: str = "/") -> dict[str, Any]:
    """How full the disk is."""
    return {"path": path, "used": "41 %", "free_gb": 120.5}


def system_health_check(deep: bool = False) -> dict[str, Any]:
    """Check the health of the system: database, broker, workers."""
    return {
        "ok": True,
        "checks": [{"name": "database", "ok": True}, {"name": "broker", "ok": True}],
        "deep": deep,
    }


def memory_usage() -> str:
    """Used and free memory of this machine."""
    return "3.1 GB of 8 GB"


def exchange_rate(from_currency: str, to_currency: str, amount: float = 1.0) -> dict[str, Any]:
    """Convert an amount of money from one currency to another."""
    return {"amount": amount, "from": from_currency, "to": to_currency, "rate": 11.52}


def send_email(to: str, subject: str | None = None, body: str = "") -> dict[str, Any]:
    """Send an e-mail message to an address."""
    return {"sent_to": to, "subject": subject, "body": body}


def delete_file(path: str) -> str:
    """Delete a file from the disk for good."""
    return f"deleted {path}"


def read_file(path: str) -> str:
    """Read the contents of a text file."""
    return f"contents of {path}"


def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


def list_issues(
    state: Literal["open", "closed"] = "open", limit: int = 10, label: str | None = None
) -> list[str]:
    """List the issues of the project's tracker."""
    return [f"{state} issue {number}" for number in range(1, min(limit, 3) + 1)]


def translate(text: str, language: str) -> str:
    """Translate a text into another language."""
    return f"{text} in {language}"


def add_numbers(numbers: list[float]) -> float:
    """Add up a list of numbers."""
    return sum(numbers)


def distances(cities: list[str]) -> str:
    """Distances between several cities."""
    return " - ".join(cities)


def summarise_page(url: str, sentences: int = 3) -> str:
    """Summarise a web page."""
    return f"{sentences} sentences about {url}"


def book_table(restaurant: str, people: int, date: str) -> str:
    """Book a table in a restaurant."""
    return f"{restaurant}: {people} people on {date}"


TOOLS: tuple[Callable[..., Any], ...] = (
    get_weather,
    disk_usage,
    system_health_check,
    memory_usage,
    exchange_rate,
    send_email,
    delete_file,
    read_file,
    word_count,
    list_issues,
    translate,
    add_numbers,
    distances,
    summarise_page,
    book_table,
)


async def ask(
    request: str, tools: Sequence[Callable[..., Any]] = TOOLS
) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """Run an agent on the offline model; return the calls that it made and its answer."""
    run = await Agent(offline_model(), tools=list(tools)).run(request)
    parts = [part for message in run.all_messages() for part in message.parts]
    calls = [(part.tool_name, part.args_as_dict()) for part in parts if isinstance(part, ToolCallPart)]
    return calls, run.output


REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "Check the health of the system": [("system_health_check", {})],
    "What is the weather in Oslo?": [("get_weather", {"city": "Oslo"})],
    "Tell me the weather in Oslo for the next 3 days": [("get_weather", {"city": "Oslo", "days": 3})],
    "weather in Oslo, Bergen and Rome please": [
        ("get_weather", {"city": "Oslo"}),
        ("get_weather", {"city": "Bergen"}),
        ("get_weather", {"city": "Rome"}),
    ],
    "How warm will it be in New York in imperial units? I mean the forecast.": [
        ("get_weather", {"city": "New York", "unit": "imperial"})
    ],
    "Check the disk and the memory": [("disk_usage", {}), ("memory_usage", {})],
    "Check the disk and the health of the system, then tell me the weather in Bergen": [
        ("disk_usage", {}),
        ("system_health_check", {}),
        ("get_weather", {"city": "Bergen"}),
    ],
    "How full is the disk at /var/log?": [("disk_usage", {"path": "/var/log"})],
    "Run a deep health check": [("system_health_check", {"deep": True})],
    "Convert 100 EUR to NOK": [
        ("exchange_rate", {"from_currency": "EUR", "to_currency": "NOK", "amount": 100}),
    ],
    'Send an e-mail to ann@example.org saying "I am late"': [
        ("send_email", {"to": "ann@example.org", "body": "I am late"})
    ],
    "Read /etc/hosts": [("read_file", {"path": "/etc/hosts"})],
    "Delete the file /tmp/old.log": [("delete_file", {"path": "/tmp/old.log"})],
    'Count the words of "to be or not to be"': [("word_count", {"text": "to be or not to be"})],
    "List the closed issues, limit 5": [("list_issues", {"state": "closed", "limit": 5})],
    'Translate "good morning" into German': [("translate", {"text": "good morning", "language": "German"})],
    "Add 3, 4.5 and 12": [("add_numbers", {"numbers": [3, 4.5, 12]})],
    "Distances between Oslo, Bergen and Rome": [("distances", {"cities": ["Oslo", "Bergen", "Rome"]})],
    "Summarise https://example.org/news in 2 sentences": [
        ("summarise_page", {"url": "https://example.org/news", "sentences": 2})
    ],
    "Check the disk but do not delete the file /tmp/a.txt": [("disk_usage", {})],
}


@pytest.mark.parametrize(("request_", "expected"), REQUESTS.items())
async def test_the_right_tools_are_called_with_what_the_request_says(
    request_: str, expected: list[tuple[str, dict[str, Any]]]
) -> None:
    calls, answer = await ask(request_)
    assert calls == expected
    assert answer.endswith("(offline model local:extractive)")


async def test_results_are_rendered_to_read_and_nothing_is_lost() -> None:
    _, answer = await ask("Check the health of the system and tell me the weather in Oslo")
    assert "Get weather (Oslo): city: Oslo, temperature: 7 °C, days: 1, unit: metric" in answer
    assert "ok: yes" in answer
    assert "name: database, ok: yes" in answer


async def test_a_missing_argument_is_said_and_not_invented() -> None:
    calls, answer = await ask("Book a table for 4 people")
    assert calls == []
    assert "Book table: not called, because the request does not say `restaurant`, `date`." in answer


async def test_a_result_of_one_tool_fills_the_text_of_another() -> None:
    calls, _ = await ask("Check the disk and mail the result to ann@example.org", [disk_usage, post_mail])
    assert [name for name, _ in calls] == ["disk_usage", "post_mail"]
    assert calls[1][1]["to"] == "ann@example.org"
    assert "used: 41 %" in calls[1][1]["body"]


async def test_a_field_of_one_result_fills_the_argument_of_the_same_name() -> None:
    calls, answer = await ask(
        "Look up the customer Ann and list her invoices", [find_customer, list_invoices]
    )
    assert calls == [("find_customer", {"name": "Ann"}), ("list_invoices", {"customer_id": "C-77"})]
    assert "invoice of C-77" in answer


async def test_a_tool_that_fails_is_reported() -> None:
    def disk_usage() -> str:
        """How full the disk is."""
        raise ToolFailed("the disk does not answer")

    calls, answer = await ask("Check the disk", [disk_usage])
    assert calls == [("disk_usage", {})]
    assert "Disk usage failed: the disk does not answer" in answer


async def test_changing_tools_need_their_verb() -> None:
    calls, _ = await ask("What is in the file /tmp/a.txt?", [delete_file])
    assert calls == []


@pytest.mark.parametrize("request_", ["Call Bob", "Buy milk", "Mum's birthday", "Take the bins out"])
async def test_a_plain_reminder_is_passed_on(request_: str) -> None:
    calls, answer = await ask(request_)
    assert calls == []
    assert answer.startswith("A friendly reminder: ")
    assert request_[1:] in answer


@pytest.mark.parametrize("tools", [TOOLS, ()])
async def test_a_question_without_a_fitting_tool_is_refused_honestly(
    tools: Sequence[Callable[..., Any]],
) -> None:
    calls, answer = await ask("Who won the chess championship?", tools)
    assert calls == []
    assert "Who won the chess championship?" in answer
    assert "no tool" in answer


async def test_the_request_is_found_in_a_labelled_prompt() -> None:
    prompt = "Person: ann\nEarlier run: the disk was full\nRequest: tell me the weather in Oslo"
    calls, _ = await ask(prompt)
    assert calls == [("get_weather", {"city": "Oslo"})]


async def test_the_time_of_a_hold_is_no_argument() -> None:
    calls, _ = await ask("Tell me the weather in Oslo but not before 14:02:10")
    assert calls == [("get_weather", {"city": "Oslo"})]


def post_mail(to: str, body: str) -> str:
    """Send mail to an address."""
    return f"sent {len(body)} characters to {to}"


def find_customer(name: str) -> dict[str, str]:
    """Look up a customer by name."""
    return {"name": name, "customer_id": "C-77"}


def list_invoices(customer_id: str) -> list[str]:
    """List the invoices of a customer."""
    return [f"invoice of {customer_id}"]


class Verdict(BaseModel):
    """What to do with a request that is due."""

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


class Analysis(BaseModel):
    """An analysis of a text."""

    summary: str
    entities: list[str]
    categories: list[str]
    key_points: list[str]
    sentiment: Literal["praise", "complaint"] | None = None


async def test_other_structured_output_is_taken_from_the_text() -> None:
    text = (
        "The invoice from Acme Corporation is overdue. We complain about the invoice and its late delivery. "
        "Please write to Ann Berg at ann@example.org."
    )
    found = (await Agent(offline_model(), output_type=Analysis).run(text)).output
    assert found.summary in text
    assert {"Acme Corporation", "Ann Berg", "ann@example.org"} <= set(found.entities)
    assert "invoice" in found.categories
    assert all(point in text for point in found.key_points)
    assert found.sentiment == "complaint"


async def test_answers_name_the_model_and_are_json_safe() -> None:
    run = await Agent(offline_model(), tools=[disk_usage]).run("Check the disk")
    assert run.response.model_name == NAME
    assert json.loads(run.all_messages_json())
