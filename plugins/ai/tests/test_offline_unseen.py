"""Twenty more requests, for tools that the offline model had not seen: 11 were right at first go."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hopyard_ai.offline import offline_model
from pydantic_ai import Agent
from pydantic_ai.messages import ToolCallPart

Calls = list[tuple[str, dict[str, Any]]]


def stock_price(ticker: str, exchange: Literal["NYSE", "NASDAQ", "XETRA"] | None = None) -> str:
    """Latest share price of a company."""
    return "done"


def train_departures(station: str, limit: int = 5) -> str:
    """Next trains that leave from a station."""
    return "done"


def flight_status(flight_number: str, date: str | None = None) -> str:
    """Status of a flight."""
    return "done"


def create_event(
    title: str, date: str, duration_minutes: int = 60, attendees: list[str] | None = None
) -> str:
    """Create a calendar event."""
    return "done"


def send_sms(phone_number: str, text: str) -> str:
    """Send a text message to a phone."""
    return "done"


def ping_host(host: str, count: int = 4) -> str:
    """Ping a host and say how long it takes."""
    return "done"


def restart_service(service: str, graceful: bool = True) -> str:
    """Restart a service on the server."""
    return "done"


def query_logs(
    service: str, level: Literal["debug", "info", "warning", "error"] = "info", hours: int = 24
) -> str:
    """Search the logs of a service."""
    return "done"


def currency_list() -> str:
    """All currencies that are supported."""
    return "done"


def air_quality(city: str) -> str:
    """Air quality index and pollutants in a city."""
    return "done"


def resize_image(path: str, width: int, height: int) -> str:
    """Resize an image to a width and height in pixels."""
    return "done"


def hash_file(path: str, algorithm: Literal["md5", "sha1", "sha256"] = "sha256") -> str:
    """Checksum of a file."""
    return "done"


def is_prime(number: int) -> str:
    """Whether a number is prime."""
    return "done"


def recipe(dish: str, servings: int = 2) -> str:
    """A recipe for a dish."""
    return "done"


def open_pull_requests(repository: str, author: str | None = None) -> str:
    """List the open pull requests of a repository."""
    return "done"


def compare_texts(first: str, second: str) -> str:
    """Compare two texts and say what differs."""
    return "done"


TOOLS = (
    stock_price,
    train_departures,
    flight_status,
    create_event,
    send_sms,
    ping_host,
    restart_service,
    query_logs,
    currency_list,
    air_quality,
    resize_image,
    hash_file,
    is_prime,
    recipe,
    open_pull_requests,
    compare_texts,
)

REQUESTS: tuple[tuple[str, Calls], ...] = (
    (
        "How is the air quality in Delhi and Beijing?",
        [("air_quality", {"city": "Delhi"}), ("air_quality", {"city": "Beijing"})],
    ),
    (
        "What's the stock price of AAPL on NASDAQ?",
        [("stock_price", {"ticker": "AAPL", "exchange": "NASDAQ"})],
    ),
    ("Show the next 3 trains from Hamburg", [("train_departures", {"station": "Hamburg", "limit": 3})]),
    ("Is flight LH402 on time?", [("flight_status", {"flight_number": "LH402"})]),
    ("Is 97 a prime number?", [("is_prime", {"number": 97})]),
    ("ping example.net 10 times", [("ping_host", {"host": "example.net", "count": 10})]),
    (
        "Any errors in the logs of the checkout service during the last 6 hours?",
        [("query_logs", {"service": "checkout", "level": "error", "hours": 6})],
    ),
    ("restart the nginx service", [("restart_service", {"service": "nginx"})]),
    ("The nginx service was slow yesterday, what do its logs say?", [("query_logs", {"service": "nginx"})]),
    ("Which currencies are supported?", [("currency_list", {})]),
    (
        "resize the image /img/cat.png to a width of 640 and a height of 480",
        [("resize_image", {"path": "/img/cat.png", "width": 640, "height": 480})],
    ),
    (
        "Give me the md5 checksum of /srv/data.tar",
        [("hash_file", {"path": "/srv/data.tar", "algorithm": "md5"})],
    ),
    ("Find me a recipe for lasagne for 6 servings", [("recipe", {"dish": "lasagne", "servings": 6})]),
    (
        "List open pull requests of the repository pallets/flask",
        [("open_pull_requests", {"repository": "pallets/flask"})],
    ),
    (
        'Compare "red apple" with "green apple"',
        [("compare_texts", {"first": "red apple", "second": "green apple"})],
    ),
    (
        'Text +4915112345678 saying "running late"',
        [("send_sms", {"phone_number": "+4915112345678", "text": "running late"})],
    ),
    (
        "Check the air in Oslo, then ping example.com and list the next trains from Oslo",
        [
            ("air_quality", {"city": "Oslo"}),
            ("ping_host", {"host": "example.com"}),
            ("train_departures", {"station": "Oslo"}),
        ],
    ),
    (
        'Create a calendar event "Board meeting" on 2026-12-03 with ann@example.org and bob@example.org',
        [
            (
                "create_event",
                {
                    "title": "Board meeting",
                    "date": "2026-12-03",
                    "attendees": ["ann@example.org", "bob@example.org"],
                },
            )
        ],
    ),
    ("Water the tomatoes", []),
    ("Who painted the Mona Lisa?", []),
)


@pytest.mark.parametrize(("request_", "expected"), REQUESTS)
async def test_an_unseen_request_is_handled(request_: str, expected: Calls) -> None:
    now = "Time zone: Europe/Berlin\nLocal time now: 2026-11-25T10:00:00+01:00"
    run = await Agent(offline_model(), tools=list(TOOLS)).run(f"{now}\nRequest: {request_}")
    parts = [part for message in run.all_messages() for part in message.parts]
    assert [
        (part.tool_name, part.args_as_dict()) for part in parts if isinstance(part, ToolCallPart)
    ] == expected


async def test_near_equals_are_told_apart_by_what_they_need() -> None:
    run = await Agent(offline_model(), tools=[compare_texts, send_sms]).run('Text +4915112345678 saying "hi"')
    calls = [
        part for message in run.all_messages() for part in message.parts if isinstance(part, ToolCallPart)
    ]
    assert [call.tool_name for call in calls] == ["send_sms"]
