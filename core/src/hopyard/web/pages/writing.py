"""How values are written in pages: times, spans, numbers, JSON and addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from hopyard.display import printable, to_json
from hopyard.redaction import masked

_THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_ISO: Final = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)").finditer
#: Each unit with its seconds and the next smaller one, which is told beside it.
_UNITS: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def final(value: Any) -> Any:
    """Return a value as templates write it: secrets masked, control characters written out.

    Templates escape what comes of it; what is markup already was made here.
    """
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def address(prefix: str, path: str, query: Mapping[str, Any] | None = None) -> Markup:
    """Return the address of a page or endpoint; what is empty is left out of the query."""
    return Markup(escape(plain_address(prefix, path, query)))  # noqa: S704 - escaped


def plain_address(prefix: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """As `address`, for what is no HTML."""
    asked = {name: value for name, value in (query or {}).items() if value not in (None, "", [], ())}
    text = urlencode(asked, doseq=True, errors="replace")
    return f"{prefix}{path}" + (f"?{text}" if text else "")


def part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="", errors="replace")


def verbatim(text: Any) -> Markup:
    """Return what the viewer wrote, to be written into the same field again as it was."""
    return Markup(escape("" if text is None else str(text)))  # noqa: S704 - escaped


def json_text(value: Any) -> Markup:
    """Return JSON for people, secrets masked."""
    return Markup(escape(to_json(masked(value), indent=2)))  # noqa: S704 - escaped


def pairs(value: Any) -> list[tuple[str, str]]:
    """Return what an act was done with, secrets masked: each name with its text, or JSON."""
    told = masked(value)
    items = told.items() if isinstance(told, dict) else ()
    return [(str(name), printable(one) if isinstance(one, str) else to_json(one)) for name, one in items]


def json_data(value: Any) -> Markup:
    """Return JSON for a script, in an attribute."""
    return Markup(escape(to_json(value)))  # noqa: S704 - escaped


def when(value: datetime | str | None, form: str = "short") -> Markup:
    """Return a time, which the script shows on the viewer's clock; without it it is in UTC."""
    at = value if isinstance(value, datetime) else _read(value)
    if at is None:
        return verbatim("" if value is None else printable(str(value)))
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(
        f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", form, f"{at:%Y-%m-%d %H:%M:%S} UTC"
    )


def _read(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def timed(text: str) -> Markup:
    """Return a text of ours with the times in it as times."""
    made, last = Markup(), 0
    for found in _ISO(text):
        made += printable(text[last : found.start()])
        made += when(found[0], "full")
        last = found.end()
    return made + printable(text[last:])


def span(seconds: float | None) -> str:
    """Return a span of time in words: `0.42 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds is None:
        return "–"
    if seconds < 0.1:
        return f"{round(seconds * 1000)}{_THIN}ms"
    if seconds < 10:
        return f"{seconds:.2g}{_THIN}s"
    whole = round(seconds)
    for size, name, smaller, small in _UNITS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{_THIN}{name}" + (f" {rest}{_THIN}{small}" if rest else "")
    return f"{whole}{_THIN}s"


def number(value: float | None) -> str:
    """Return a number with its thousands apart."""
    if value is None:
        return "–"
    return (f"{value:,}" if isinstance(value, int) else f"{value:,.1f}").replace(",", _THIN)


def listed(names: Iterable[str]) -> str:
    """Return names in one line."""
    return ", ".join(names)
