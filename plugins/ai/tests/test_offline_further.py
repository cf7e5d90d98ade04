"""Twenty requests that were written after the offline model, for tools that it had not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from hopyard_ai.offline import offline_model
from pydantic_ai import Agent
from pydantic_ai.messages import ToolCallPart


def parcel_status(tracking_number: str) -> dict[str, str]:
    """Say where a parcel is, by its tracking number."""
    return {"parcel": tracking_number, "where": "Hamburg depot"}


def ssl_expiry(host: str) -> dict[str, Any]:
    """Check when the TLS certificate of a host expires."""
    return {"host": host, "days_left": 41}


def open_tickets(team: str, priority: Literal["low", "high", "urgent"] | None = None) -> dict[str, Any]:
    """Count the open support tickets of a team."""
    return {"team": team, "open": 7}


def moon_phase(date: str | None = None) -> str:
    """The phase of the moon."""
    return "waxing crescent"


def tide_times(harbour: str) -> dict[str, str]:
    """High and low tide at a harbour."""
    return {"harbour": harbour, "high": "06:12", "low": "12:31"}


def lights(room: str, on: bool) -> str:
    """Switch the lights of a room on or off."""
    return f"{room} {'on' if on else 'off'}"


def sensor_reading(sensor: str, hours: int = 1) -> dict[str, Any]:
    """Average reading of a sensor over the last hours."""
    return {"sensor": sensor, "average": 21.4, "hours": hours}


def deploy(service: str, version: str, environment: Literal["staging", "production"]) -> str:
    """Deploy a version of a service to an environment."""
    return f"{service} {version} on {environment}"


def backup_age(database: str) -> dict[str, Any]:
    """How old the newest backup of a database is."""
    return {"database": database, "hours": 5}


def calories(food: str, grams: int = 100) -> int:
    """Calories of a food."""
    return 52


TOOLS: tuple[Callable[..., Any], ...] = (
    parcel_status,
    ssl_expiry,
    open_tickets,
    moon_phase,
    tide_times,
    lights,
    sensor_reading,
    deploy,
    backup_age,
    calories,
)

REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "Where is parcel JD014600003?": [("parcel_status", {"tracking_number": "JD014600003"})],
    "When does the certificate of example.org expire?": [("ssl_expiry", {"host": "example.org"})],
    "check the TLS certificates of example.org and example.com": [
        ("ssl_expiry", {"host": "example.org"}),
        ("ssl_expiry", {"host": "example.com"}),
    ],
    "How many urgent tickets does the team Billing have?": [
        ("open_tickets", {"team": "Billing", "priority": "urgent"})
    ],
    "count the open tickets of the Platform team": [("open_tickets", {"team": "Platform"})],
    "What phase is the moon in?": [("moon_phase", {})],
    "tell me the tides at Cuxhaven": [("tide_times", {"harbour": "Cuxhaven"})],
    "Tide times at Cuxhaven and the moon phase, please": [
        ("tide_times", {"harbour": "Cuxhaven"}),
        ("moon_phase", {}),
    ],
    "switch the lights in the kitchen on": [("lights", {"room": "kitchen", "on": True})],
    "Switch off the lights of the garage": [("lights", {"room": "garage", "on": False})],
    "average reading of the sensor greenhouse over the last 6 hours": [
        ("sensor_reading", {"sensor": "greenhouse", "hours": 6})
    ],
    'What does the sensor "cellar-2" read?': [("sensor_reading", {"sensor": "cellar-2"})],
    "deploy the service checkout version 2.4.1 to staging": [
        ("deploy", {"service": "checkout", "version": "2.4.1", "environment": "staging"})
    ],
    "How old is the backup of the database orders?": [("backup_age", {"database": "orders"})],
    "How many calories have 250 grams of apple?": [("calories", {"food": "apple", "grams": 250})],
    "tell me the calories of rice": [("calories", {"food": "rice"})],
    "Check the backup of the database orders, then when the certificate of shop.example.org expires": [
        ("backup_age", {"database": "orders"}),
        ("ssl_expiry", {"host": "shop.example.org"}),
    ],
    "Remember that Grandma's train leaves at noon": [],
    "Is parcel 00340434 on its way?": [("parcel_status", {"tracking_number": "00340434"})],
    "Give me the tides at Dover, but do not switch any lights": [("tide_times", {"harbour": "Dover"})],
}


def test_there_are_twenty() -> None:
    assert len(REQUESTS) == 20


@pytest.mark.parametrize(("request_", "expected"), REQUESTS.items())
async def test_a_further_request_is_handled(
    request_: str, expected: list[tuple[str, dict[str, Any]]]
) -> None:
    run = await Agent(offline_model(), tools=list(TOOLS)).run(f"Person: ada\nRequest: {request_}")
    parts = [part for message in run.all_messages() for part in message.parts]
    calls = [(part.tool_name, part.args_as_dict()) for part in parts if isinstance(part, ToolCallPart)]
    assert calls == expected
    for part in parts:
        if part.part_kind == "tool-return":
            shown = part.content if isinstance(part.content, dict) else {"": part.content}
            assert all(str(value) in run.output for value in shown.values())
