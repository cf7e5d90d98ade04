"""Writing iCalendar: new events, and single properties of events that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hopyard.errors import InvalidInput

from hopyard_sync.calendars.lines import LOGICAL, folded, property_name


def stamp(moment: datetime) -> str:
    """Return a moment as iCalendar writes it in UTC. Raises `InvalidInput` where that is in no year."""
    try:
        return f"{_local(moment.astimezone(UTC))}Z"
    except OverflowError:
        raise InvalidInput(f"found the time {moment}, expected one within the years 1 to 9999") from None


def _local(moment: datetime) -> str:
    return f"{moment.year:04}{moment:%m%dT%H%M%S}"  # strftime does not fill years up to four digits


def timed(name: str, value: datetime | date) -> str:
    """Return a property of a time in UTC, or of a date."""
    if isinstance(value, datetime):
        return f"{name}:{stamp(value)}"
    return f"{name};VALUE=DATE:{value.year:04}{value:%m%d}"


def calendar(properties: Sequence[str]) -> str:
    """Return a VCALENDAR with one VEVENT of these content lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Hopyard//sync//EN", "BEGIN:VEVENT"]
    lines += [*properties, "END:VEVENT", "END:VCALENDAR"]
    return "".join(f"{folded(line)}\r\n" for line in lines)


def changed(text: str, values: Mapping[str, str | None]) -> str:
    """Return a resource whose event has other properties, by name: whole content lines, None for none.

    Of a series it is the master. All else stays as it is, byte for byte. Raises `InvalidInput` where there is
    no such event.
    """
    parts = [part for part in LOGICAL.findall(text) if part]
    first, last = _master(parts)
    ending = "\r\n" if "\r\n" in text else "\n"
    left = dict(values)
    made: list[str] = []
    depth = 0
    for part in parts[first + 1 : last]:
        name = property_name(part)
        depth += {"BEGIN": 1, "END": -1}.get(name, 0)
        if depth == 0 and name in values and name != "END":
            made += _line(left.pop(name, None), ending)
        else:
            made.append(part)
    for line in left.values():
        made += _line(line, ending)
    return "".join([*parts[: first + 1], *made, *parts[last:]])


def _line(line: str | None, ending: str) -> list[str]:
    return [] if line is None else [folded(line).replace("\r\n", ending) + ending]


def _master(parts: Sequence[str]) -> tuple[int, int]:
    """Return the places of BEGIN and END of the event that is no exception of another."""
    depth, first, exception = 0, -1, False
    for n, part in enumerate(parts):
        name, value = property_name(part), part.rstrip().upper()
        if name == "BEGIN":
            depth += 1
            if depth == 2 and value == "BEGIN:VEVENT":
                first, exception = n, False
        elif name == "END":
            if depth == 2 and value == "END:VEVENT" and not exception:
                return first, n
            depth -= 1
        elif depth == 2 and name.startswith("RECURRENCE-ID"):
            exception = True
    raise InvalidInput("found no event of its own in this resource, only exceptions")


def zoned(name: str, moment: datetime, zone: str | None) -> str:
    """Return a property of a time in an IANA zone, so that what repeats keeps its wall time; else in UTC."""
    if zone and zone != "UTC":
        try:
            place = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidInput(f"{name}: found the zone {zone[:60]!r}, expected an IANA time zone") from None
        try:
            local = moment.replace(tzinfo=place) if moment.tzinfo is None else moment.astimezone(place)
        except OverflowError:
            raise InvalidInput(
                f"{name}: found {moment}, expected a time within the years 1 to 9999"
            ) from None
        return f"{name};TZID={place.key}:{_local(local)}"
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return f"{name}:{stamp(moment)}"
