"""Texts in a part of the request that fit a parameter: by its name, its form, and what stands before them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hopyard.errors import ScheduleError

from hopyard_ai.offline._schema import Parameter
from hopyard_ai.offline._values import Values
from hopyard_ai.offline._words import vocabulary
from hopyard_ai.when import parse

BODY = vocabulary(
    "body message text content note comment description sentence paragraph input string words todo task"
)
CODES = vocabulary("currency currencies")
FROM = vocabulary("from source origin start src departure base begin")
IDENTIFIER = vocabulary(
    "id ids number code key ticket order sku reference ref identifier isbn version host serial"
)
PERSON = vocabulary(
    "name names person people user users who contact recipient recipients author owner assignee "
    "customer employee  patient player member friend attendee attendees guest participant participants"
)
PLACE = vocabulary(
    "city cities location locations place places town country countries region where area station "
    "airport address  state county district"
)
TO = vocabulary("to target destination dest dst end arrival into recipient recipients goal output")
TOPIC = vocabulary(
    "query search topic topics subject question keyword keywords term terms phrase q about theme prompt"
)


def texts(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[str]:
    """The texts that fit a parameter: none, one, or several where each fits."""
    if parameter.form:
        return _formed(parameter, all_, values)
    words = set(parameter.words)
    if (
        words & (TO | PERSON | FROM)
        and (address := values.first_of_kind("email", after=_before(words))) is not None
    ):
        return [address]
    if words & CODES and (code := _code(words, values)) is not None:
        return [code]
    if parameter.required and (text := values.described(parameter.words)) is not None:
        return [text]
    if (text := values.named(parameter.words)) is not None:
        return [text]
    if words & BODY and (text := values.said()) is not None:
        return [text]
    if _may_be_quoted(parameter, all_) and (quoted := values.first_of_kind("quoted")) is not None:
        return [quoted]
    if words & IDENTIFIER and parameter.required and (text := values.marked()) is not None:
        return [text]
    if found := _by_preposition(parameter, all_, values):
        return found
    return _required_text(parameter, all_, values) if parameter.required else []


def _formed(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[str]:
    """Addresses, paths and dates. A required one that was not recognised falls back to what its name says."""
    match parameter.form:
        case "email":
            found = values.first_of_kind("email", after=("to", "for", "at"))
        case "uri":
            found = values.first_of_kind("url")
        case "phone":
            found = values.first_of_kind("phone") or values.marked()
        case "path":
            words = set(parameter.words)
            after = ("to", "into") if words & TO else ("from", "of", "in") if words & FROM else ()
            found = values.first_of_kind("path", after=after)
        case "time":
            match = re.search(r"\b([01]?[0-9]|2[0-3]):[0-5][0-9]\b", values.clause.text)
            found = match.group() if match else None
        case _:
            found = _date(parameter, values)
    if found is not None:
        return [found]
    if parameter.form in ("email", "path") and parameter.required:
        if (quoted := values.first_of_kind("quoted")) is not None:
            return [quoted]
        # Where a task takes people or folders by name, a name is what was meant.
        return (
            []
            if parameter.description and "@" in parameter.description
            else _by_preposition(parameter, all_, values)
        )
    return []


def _date(parameter: Parameter, values: Values) -> str | None:
    if (written := values.first_of_kind("date")) is not None:
        return written
    try:
        moment = parse(values.clause.text, now=values.now, zone=values.zone).rule.at
    except ScheduleError:  # no date is said, or none that a date can be
        return None
    if moment is None:
        return None
    return moment.date().isoformat() if parameter.form == "date" else moment.isoformat(timespec="seconds")


def _code(words: set[str], values: Values) -> str | None:
    codes = values.codes()
    lowered = [word.lower for word in values.words]
    after_to = [place for place, _ in codes if place and lowered[place - 1] in ("to", "into", "in")]
    for place, text in codes:
        wanted = place in after_to if words & TO else place not in after_to if words & FROM else True
        if wanted:
            values.take_number(place)
            return text
    return None


def _by_preposition(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[str]:
    words, hints = set(parameter.words), parameter.hints
    if words & FROM:
        measured = [text] if parameter.required and (text := values.unit()) is not None else []
        return values.after(("from", "between")) or measured
    if words & TO:
        return values.after(("to", "into", "for")) or (values.names() if parameter.required else [])
    if words & PLACE or (hints & PLACE and not words & (PERSON | TOPIC | BODY)):
        return values.after(
            ("in", "at", "for", "near", "of", "to", "from"), names_only=not parameter.required
        )
    if words & PERSON:
        preferred = ("for", "of", "to", "with", "by", "about", "from")
        return values.after(preferred, names_only=True) or (values.names() if parameter.required else [])
    if words & TOPIC:
        return values.after(("about", "for", "on", "regarding", "of")) if parameter.required else []
    return []


def _required_text(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[str]:
    words = set(parameter.words)
    if words & (TOPIC | BODY):
        rest = values.rest()
        return [rest] if rest else []
    if found := values.recognised() or values.names():
        return found
    before = ("in", "of", "for", "to", "from", "about", "on", "with", "at")
    # What follows "to" is where something goes, not where it comes from.
    if found := values.after([word for word in before if word != "to"] if words & FROM else before):
        return found
    text = values.marked() or values.leftover([word for other in all_ for word in other.words])
    return [text] if text is not None else []


def _may_be_quoted(parameter: Parameter, all_: Sequence[Parameter]) -> bool:
    """Whether quoted text is meant for this one: texts to people come first, then what is required."""
    free = [other for other in all_ if other.kind == "string" and not other.options and not other.form]
    bodies = [other for other in free if set(other.words) & BODY]
    topics = [other for other in free if set(other.words) & TOPIC]
    required = [other for other in free if other.required]
    written = bodies or topics
    wanting = [other for other in written if other.required] or written or required
    return parameter in wanting or free == [parameter]


def _before(words: set[str]) -> tuple[str, ...]:
    return ("from",) if words & FROM else ("to", "for", "at")
