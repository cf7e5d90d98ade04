"""Texts with a meaning: durations, cron rules, time zones, server addresses, egress hosts."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

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

CRON_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

DURATION_TEXT = "a duration: seconds, or text such as `90s`, `10m`, `1h30m`, `2d`"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_HOST = re.compile(
    r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?)*\.?"
)


def nearest(name: str, names: Collection[str]) -> str | None:
    """The most similar of `names`, if any is similar."""
    match = get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return match[0] if match else None


def duration(text: str | float) -> float:
    """Seconds from a number of seconds or from text such as `90`, `250ms`, `10m`, `1h30m`, `2d`.

    Raises ValueError for anything else, also for a negative or infinite number.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"not {DURATION_TEXT}")
    seconds = _number(text) if isinstance(text, str) else float(text)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"not {DURATION_TEXT}")
    return seconds


def cron_fields(text: str) -> str:
    """The five fields of a cron rule; aliases such as `@daily` are resolved.

    Raises ValueError where it is no rule, or one that never comes due.
    """
    from cronsim import CronSim, CronSimError

    fields = CRON_ALIASES.get(text.strip().lower(), text.strip())
    if len(fields.split()) != 5:
        raise ValueError("a cron rule has five fields (minute, hour, day, month, weekday) or is an alias")
    try:
        next(CronSim(fields, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"no cron rule: {error}") from error
    except StopIteration as error:
        raise ValueError("a cron rule that never comes due") from error
    return " ".join(fields.split())


def check_zone(name: str) -> str:
    """`name` if it is an IANA time zone, else ValueError."""
    try:
        return ZoneInfo(name).key
    except (
        KeyError,
        ValueError,
        OSError,
    ) as error:  # zoneinfo raises OSError for a directory such as `Europe`
        raise ValueError(f"no IANA time zone: {name}") from error


def check_rrule(text: str) -> str:
    """`text` if it is the text of an RFC 5545 RRULE without DTSTART, else ValueError."""
    from dateutil.rrule import rrulestr

    if "DTSTART" in text.upper():
        raise ValueError("a recurrence rule here has no DTSTART: the schedule's anchor takes its place")
    try:
        rrulestr(text, dtstart=datetime(2024, 1, 1, tzinfo=UTC))
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
    ) as error:  # dateutil leaks whatever its parser meets
        raise ValueError(f"no RFC 5545 recurrence rule: {error}") from error
    return text


def expected(text: str, nearest_name: str | None = None) -> PydanticCustomError:
    """A validation error whose message is what would have been right."""
    context = {"expected": text, "nearest": nearest_name or ""}
    return PydanticCustomError("hopyard", "expected {expected}", context)


def _number(text: str) -> float:
    compact = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
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


def _cron_field(value: str) -> str:
    try:
        return cron_fields(value)
    except ValueError as error:
        raise expected(f"a cron rule of five fields or an alias such as @daily ({error})") from error


def _zone_field(value: str) -> str:
    try:
        return check_zone(value)
    except ValueError as error:
        raise expected(
            "an IANA time zone such as Europe/Berlin", nearest(value, available_timezones())
        ) from error


def _rrule_field(value: str) -> str:
    try:
        return check_rrule(value)
    except ValueError as error:
        raise expected(f"an RFC 5545 rule such as FREQ=WEEKLY;BYDAY=MO ({error})") from error


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise expected("a whole number")
    return value


def _server(schemes: tuple[str, ...], kind: str, note: str = "") -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        scheme, separator, _ = url.get_secret_value().partition("://")
        if not separator or scheme.lower() not in schemes:
            raise expected(f"the URL of a {kind}, beginning with {', '.join(schemes)}{note}")
        return url

    return AfterValidator(check)


def _egress_host(text: str) -> str:
    if "/" in text:
        with_network = _network(text)
        if with_network:
            return text
    else:
        host, port = _host_and_port(text)
        if port and (_HOST.fullmatch(host) or _network(host)):
            return text
    raise expected("a host, host:port or network such as 10.0.0.0/8")


def _network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _host_and_port(text: str) -> tuple[str, bool]:
    """The host, and whether the port is absent or a right one."""
    if _network(text):
        return text, True
    host, separator, port = text.rpartition(":")
    if not separator:
        return text, True
    return host.strip("[]"), port.isdecimal() and 0 < int(port) < 65536


_DURATION_SCHEMA = WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
_NOTE = " (Valkey and Dragonfly speak redis://)"

Duration = Annotated[float, BeforeValidator(_duration_field), _DURATION_SCHEMA]
PositiveDuration = Annotated[float, Field(gt=0), BeforeValidator(_duration_field), _DURATION_SCHEMA]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Zone = Annotated[str, AfterValidator(_zone_field)]
Cron = Annotated[str, AfterValidator(_cron_field)]
RRule = Annotated[str, AfterValidator(_rrule_field)]
EgressHost = Annotated[str, AfterValidator(_egress_host)]
BrokerUrl = Annotated[SecretStr, _server(BROKER_SCHEMES, "broker", _NOTE)]
DatabaseUrl = Annotated[SecretStr, _server(DATABASE_SCHEMES, "database")]
