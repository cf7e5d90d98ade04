"""iCalendar (RFC 5545) as lines: what merging needs of it, with all else left as it is, byte for byte.

Nothing here judges values, so that what a server has taken is never refused for its content.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from hopyard.errors import InvalidInput

#: The largest resource that is taken over.
MAX_BYTES: Final = 2_000_000
MAX_LINES: Final = 50_000
MAX_DEPTH: Final = 8
_FOLD: Final = re.compile(r"\r?\n[ \t]")
#: A content line with the lines that go on with it, and its end.
LOGICAL: Final = re.compile(r"[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*(?:\r?\n|$)")
_NAME: Final = re.compile("[^:;]*")
#: A name, its parameters, and the colon behind them; nothing in it is looked at twice.
_HEAD: Final = re.compile(r'(?:[^:"]++|"[^"]*+(?:"|$))*+:')
#: What servers and clients rewrite without a change of the event.
_VOLATILE: Final = frozenset(
    (
        *("PRODID", "VERSION", "CALSCALE", "METHOD", "DTSTAMP", "CREATED", "LAST-MODIFIED"),
        *("X-RADICALE-NAME", "X-WR-CALNAME"),
    )
)
_RULES: Final = ("RRULE", "EXRULE")
_OBJECTS: Final = ("VEVENT", "VTODO", "VJOURNAL")
#: Where they are: within the VCALENDAR.
_OBJECT_DEPTH: Final = 2


#: The longest UID and the longest name of a resource, in octets: an index of a database has to hold them.
MAX_NAME: Final = 1000


@dataclass(frozen=True, slots=True)
class Content:
    """What merging needs of a resource: `mark` is shared by versions that say the same, in whatever order.

    `modified` is when it was last changed, as it says itself; the earliest moment if it does not.
    """

    uid: str
    mark: str
    modified: datetime


@dataclass(slots=True)
class Component:
    """`BEGIN:name` … `END:name`: unfolded lines, and the components within."""

    name: str
    lines: list[str] = field(default_factory=list)
    children: list[Component] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        """Return the value of the first property of a name."""
        for line in self.lines:
            if property_name(line) == name:
                return _value(line)
        return None


def property_name(line: str) -> str:
    """Return the name at the beginning of a content line, in capitals."""
    match = _NAME.match(line)
    return match[0].upper() if match else ""


def _value(line: str) -> str:
    """Return what is behind the first colon that is not within quotes."""
    if '"' not in line:
        return line.partition(":")[2]
    match = _HEAD.match(line)
    return line[match.end() :] if match else ""


def parse(text: str) -> Component:
    """Return the VCALENDAR of a resource. Raises `InvalidInput` for what is none, or too large."""
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"found {len(text):,} characters, expected a resource of at most {MAX_BYTES:,}")
    lines = [line for line in _FOLD.sub("", text).replace("\r\n", "\n").split("\n") if line.strip()]
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"found {len(lines):,} lines, expected a resource of at most {MAX_LINES:,}")
    root = Component("")
    open_: list[Component] = [root]
    for line in lines:
        _take(open_, line)
    if len(open_) != 1 or [one.name for one in root.children] != ["VCALENDAR"] or root.lines:
        raise InvalidInput("expected one VCALENDAR whose components all end")
    return root.children[0]


def _take(open_: list[Component], line: str) -> None:
    name = property_name(line)
    if name == "BEGIN":
        if len(open_) > MAX_DEPTH:
            raise InvalidInput(f"found components within one another deeper than {MAX_DEPTH}")
        component = Component(_value(line).strip().upper())
        open_[-1].children.append(component)
        open_.append(component)
    elif name == "END":
        if len(open_) == 1 or open_[-1].name != _value(line).strip().upper():
            raise InvalidInput(f"found {line[:60]!r}, which ends nothing that began there")
        open_.pop()
    else:
        open_[-1].lines.append(line)


def objects(calendar: Component) -> list[Component]:
    """Return events, to-dos and journal entries: a master and its exceptions."""
    return [one for one in calendar.children if one.name in _OBJECTS]


def look(text: str) -> Content:
    """Return what merging needs of a resource. Raises `InvalidInput` for what is none, or without one UID.

    Large resources take a second: to be called in a thread.
    """
    calendar = parse(text)
    mark = hashlib.sha256(_canonical(calendar).encode(errors="backslashreplace")).hexdigest()
    return Content(_uid(calendar), mark, _modified(calendar))


def _uid(calendar: Component) -> str:
    """Return the UID that all objects of a resource share. Raises `InvalidInput` where they do not."""
    found = {(one.value("UID") or "").strip() for one in objects(calendar)}
    if len(found) != 1 or "" in found:
        raise InvalidInput(
            f"found {len(found - {''})} UIDs in a resource, expected one that all its events have"
        )
    uid = found.pop()
    if "\0" in uid or len(uid.encode(errors="replace")) > MAX_NAME:
        raise InvalidInput(f"found a UID that is longer than {MAX_NAME:,} octets or has a NUL in it")
    return uid


def _canonical(component: Component) -> str:
    lines = sorted(_line(line) for line in component.lines if property_name(line) not in _VOLATILE)
    children = sorted(_canonical(one) for one in component.children)
    return "\n".join([f"BEGIN:{component.name}", *lines, *children, f"END:{component.name}"])


def _line(line: str) -> str:
    """Return a line with its name and its parameters in one way of writing."""
    value = _value(line)
    head = line[: len(line) - len(value) - 1] if value or ":" in line else line
    name, *parameters = _parameters(head)
    value = value.strip()
    if name.upper() in _RULES:
        value = ";".join(sorted(value.upper().split(";")))
    return ";".join([name.upper(), *sorted(_parameter(one) for one in parameters)]) + ":" + value


def _parameters(head: str) -> list[str]:
    """Split at semicolons that are not within quotes."""
    if ";" not in head:
        return [head]
    return re.findall(r'(?:[^;"]|"[^"]*"?)+', head) or [""]


def _parameter(text: str) -> str:
    name, _, value = text.partition("=")
    return f"{name.strip().upper()}={value.strip().strip(chr(34))}"


def _modified(calendar: Component) -> datetime:
    stamps = [
        stamp
        for one in objects(calendar)
        for name in ("LAST-MODIFIED", "DTSTAMP")
        if (stamp := _utc(one.value(name))) is not None
    ]
    return max(stamps, default=datetime.min.replace(tzinfo=UTC))


def _utc(value: str | None) -> datetime | None:
    try:
        return datetime.strptime((value or "").strip(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def with_uid(text: str, uid: str) -> str:
    """Return a resource whose events have another UID; nothing else is changed, nor the UIDs of alarms."""
    made: list[str] = []
    depth = 0
    for part in LOGICAL.findall(text):
        name = property_name(part.strip())
        depth += {"BEGIN": 1, "END": -1}.get(name, 0)
        if name == "UID" and depth == _OBJECT_DEPTH:
            part = folded(f"UID:{uid}") + part[len(part.rstrip("\r\n")) :]
        made.append(part)
    return "".join(made)


def folded(line: str) -> str:
    """Return a content line in parts of at most 75 octets (RFC 5545, section 3.1)."""
    parts: list[str] = []
    part, size = "", 0
    for letter in line:
        width = len(letter.encode(errors="replace"))
        if size + width > (74 if parts else 75):
            parts.append(part)
            part, size = "", 0
        part += letter
        size += width
    return "\r\n ".join([*parts, part])


def escaped(text: str) -> str:
    """Return plain text as a TEXT value (RFC 5545, section 3.3.11); no line break of it ends the line."""
    plain = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    plain = plain.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")
    return "".join(letter for letter in plain if letter == "\t" or (letter >= " " and letter != "\x7f"))
