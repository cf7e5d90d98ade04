"""Types of settings: durations and server addresses; rules, zones and hosts by their one parser each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from hopyard.addresses import AllowedHost, channel_scheme
from hopyard.checks import YEAR, json_text, text
from hopyard.errors import PayloadError, ScheduleError, SpecError
from hopyard.rules import check_cron, check_every, check_rrule, zone_of
from hopyard.specs import check_queue_name

BROKER_SCHEMES = (
    "redis",
    "rediss",
    "redis+socket",
    "sentinel",
    "amqp",
    "amqps",
    "pyamqp",
    "memory",
    "filesystem",
)
DATABASE_SCHEMES = ("postgresql+asyncpg", "postgresql", "sqlite", "sqlite+aiosqlite")

DURATION_TEXT = "a duration: seconds, or text such as `90s`, `10m`, `1h30m`, `2d`"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
#: Where the port stands, as SQLAlchemy reads it: a password may have anything but `@` in it.
_PLACE = re.compile(r"[^:]*://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?]*\]|[^/:?]*)(?::(?P<port>[^/?]*))?")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)\s*")


def duration(text: str | float) -> float:
    """Seconds from a number of seconds or from text such as `90`, `250ms`, `10m`, `1h30m`, `2d`.

    Raises ValueError for anything else, also for a negative or infinite number.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"not {DURATION_TEXT}")
    seconds = _number(text) if isinstance(text, str) else _float(text)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"not {DURATION_TEXT}")
    return seconds


def expected(text: str, nearest_name: str | None = None) -> PydanticCustomError:
    """A validation error whose message is what would have been right."""
    context = {"expected": text, "nearest": nearest_name or ""}
    return PydanticCustomError("hopyard", "expected {expected}", context)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def _number(text: str) -> float:
    compact = text.strip().lower()[:100]
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", compact):
        return float(compact)
    parts = _PART.findall(compact)
    if not parts or _PART.sub("", compact):
        raise ValueError(f"not {DURATION_TEXT}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _duration_field(value: Any) -> float:
    try:
        return duration(value)
    except ValueError as error:
        raise expected(DURATION_TEXT) from error


def _parsed(parse: Callable[[str], object]) -> AfterValidator:
    """Check a text by the parser that reads it later, too; the text stays as it is."""

    def check(value: str) -> str:
        try:
            parse(value)
        except SpecError as error:
            raise expected(error.expected, error.nearest) from error
        return value

    return AfterValidator(check)


def _interval(value: float) -> float:
    try:
        check_every(value)
    except ScheduleError as error:
        raise expected(error.expected) from error
    return value


def _channel(value: SecretStr) -> SecretStr:
    try:
        channel_scheme(value.get_secret_value())
    except SpecError as error:
        raise expected(error.expected) from error
    return value


def _json_like(value: Any) -> Any:
    try:
        json_text(value, "value")
    except PayloadError as error:
        reason = str(error).rpartition(": ")[2]
        raise expected(f"text, finite numbers, true, false, lists and tables ({reason})") from error
    return value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise expected("a whole number")
    return value


def _server(schemes: tuple[str, ...], kind: str, note: str = "") -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        scheme, separator, _ = url.get_secret_value().partition("://")
        if not separator or scheme.lower() not in schemes:
            raise expected(f"the URL of a {kind}, beginning with {', '.join(schemes)}{note}")
        # Of several brokers, separated by semicolons, each has a port.
        if not all(map(_right_port, re.split(r";(?=[a-z+]+://)", url.get_secret_value()))):
            raise expected(f"the URL of a {kind} whose port is a number from 1 to 65535")
        return url

    return AfterValidator(check)


def _right_port(url: str) -> bool:
    port = (_PLACE.match(url) or {"port": None})["port"]
    return not port or bool(re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536)


_DURATION_SCHEMA = WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
_NOTE = " (Valkey and Dragonfly speak redis://)"

Duration = Annotated[float, Field(le=YEAR), BeforeValidator(_duration_field), _DURATION_SCHEMA]
Interval = Annotated[float, AfterValidator(_interval), BeforeValidator(_duration_field), _DURATION_SCHEMA]
JsonLike = Annotated[Any, AfterValidator(_json_like)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Zone = Annotated[str, _parsed(zone_of)]
Cron = Annotated[str, _parsed(check_cron)]
RRule = Annotated[str, _parsed(check_rrule)]
EgressHost = Annotated[str, _parsed(AllowedHost.parse)]
ChannelUrl = Annotated[SecretStr, AfterValidator(_channel)]
Name = Annotated[str, _parsed(partial(text, "name"))]
QueueName = Annotated[str, _parsed(partial(check_queue_name, "queue"))]
BrokerUrl = Annotated[SecretStr, _server(BROKER_SCHEMES, "broker", _NOTE)]
DatabaseUrl = Annotated[SecretStr, _server(DATABASE_SCHEMES, "database")]
