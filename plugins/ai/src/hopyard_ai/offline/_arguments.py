"""Arguments for a tool, taken from a part of the request by the tool's schema; nothing is invented."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hopyard_ai.offline._schema import Parameter
from hopyard_ai.offline._texts import BODY, FROM, PERSON, TO, TOPIC, texts
from hopyard_ai.offline._values import Values
from hopyard_ai.offline._words import alike, stem, vocabulary, words_of

_LIMIT = vocabulary("limit top max maximum count first number n size amount results quantity")
_FILLERS = vocabulary("include with is enable use show add get has should flag only as the of for in")
_OPPOSITES = {"on": "off", "enabled": "disabled", "active": "inactive", "open": "closed", "public": "private"}
_MONEY = vocabulary("amount value price sum total money quantity")


@dataclass(frozen=True, slots=True)
class Filled:
    """Arguments of one or more calls of a tool, and the required ones that were not found."""

    calls: tuple[dict[str, Any], ...]
    missing: tuple[str, ...]


def fill(parameters: Sequence[Parameter], values: Values) -> Filled:
    """Find arguments; where one text is asked for and several are listed, there is a call for each."""
    found: dict[str, Any] = {}
    several: tuple[str, list[Any]] | None = None
    for parameter in sorted(parameters, key=_specific):
        choices = _find(parameter, parameters, values)
        if not choices:
            continue
        found[parameter.name] = choices[0]
        if len(choices) > 1 and several is None:
            several = parameter.name, choices
    missing = tuple(
        parameter.name for parameter in parameters if parameter.required and parameter.name not in found
    )
    ordered = {parameter.name: found[parameter.name] for parameter in parameters if parameter.name in found}
    if several is None:
        return Filled((ordered,), missing)
    name, choices = several
    return Filled(tuple({**ordered, name: choice} for choice in choices), missing)


def _specific(parameter: Parameter) -> tuple[int, bool, int]:
    """The order to fill in: what can be recognised for certain comes before what any word would fit."""
    words = set(parameter.words)
    if parameter.options or (parameter.item and parameter.item.options):
        rank = 0
    elif parameter.form in ("email", "uri", "path") or parameter.pattern:
        rank = 1
    elif parameter.kind in ("integer", "number"):
        rank = 2
    elif parameter.kind == "boolean":
        rank = 3
    elif parameter.form:
        rank = 4
    else:
        rank = 6 + bool(words & (TOPIC | BODY))
    # What comes after "from" and "to" goes to those first; what is a place or a person before any topic.
    return rank, not parameter.required, 0 if words & FROM else 1 if words & TO else 2


def _find(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[Any]:
    """The values for a parameter: none, one, or several where each fits."""
    if parameter.options:
        return _options(parameter, values)[:1]
    match parameter.kind:
        case "array":
            items = _array(parameter, all_, values)
            return [items] if items else []
        case "integer" | "number":
            return _numbers(parameter, all_, values)
        case "boolean":
            return _boolean(parameter, values)
        case "object":
            return _object(parameter, values)
        case "string" | "any":
            return [text for text in texts(parameter, all_, values) if _fits(parameter, text)]
    return []


def _options(parameter: Parameter, values: Values) -> list[Any]:
    found: list[tuple[int, Any]] = []
    for option in parameter.options:
        if isinstance(option, bool) or option is None:
            continue
        places = [
            values.mentioned(word, exact=len(word) < 3) for word in re.split(r"[\s_-]+", str(option)) if word
        ]
        if places and all(place is not None for place in places):
            found.append((min(place for place in places if place is not None), option))
    return [option for _, option in sorted(found, key=lambda pair: pair[0])]


def _boolean(parameter: Parameter, values: Values) -> list[Any]:
    words = [word for word in parameter.words if word not in _FILLERS]
    places = [values.mentioned(word) for word in words]
    sure = [place for place in places if place is not None]
    if not words or len(sure) < len(words):
        opposites = [values.mentioned(_OPPOSITES[word]) for word in words if word in _OPPOSITES]
        return [False] if any(place is not None for place in opposites) else []
    return [not values.denied(min(sure))]


def _numbers(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[Any]:
    free = [pair for pair in values.numbers() if parameter.kind == "number" or pair[1].is_integer()]
    if not free:
        return []
    names = [*parameter.words, *(_LIMIT if set(parameter.words) & _LIMIT else ())]
    scored = [(values.near(place, names), place, number) for place, number in free]
    best = max(scored, key=lambda item: (item[0], -item[1]))
    others = [other for other in all_ if other.kind in ("integer", "number") and other is not parameter]
    claimed = max((values.near(best[1], other.words) for other in others), default=0)
    if best[0] and best[0] >= claimed:
        return [_taken(parameter, best[1], best[2], values)]
    unclaimed = [
        (place, number)
        for place, number in free
        if not any(values.near(place, other.words) >= 3 for other in others)
    ]
    lonely = len(unclaimed) == 1 and not others and not any(item.kind == "array" for item in all_)
    if not unclaimed or not (parameter.required or lonely):
        return []
    if not others and len(unclaimed) > 1 and len(unclaimed) == len(free):
        return [_taken(parameter, place, number, values) for place, number in unclaimed]
    return [_taken(parameter, *unclaimed[0], values)]


def _taken(parameter: Parameter, place: int, number: float, values: Values) -> int | float:
    values.take_number(place)
    return int(number) if parameter.kind == "integer" or number.is_integer() else number


def _array(parameter: Parameter, all_: Sequence[Parameter], values: Values) -> list[Any]:
    item = parameter.item
    if item is None:
        return []
    if item.options:
        return _options(item, values)
    if item.kind in ("integer", "number"):
        free = [pair for pair in values.numbers() if item.kind == "number" or pair[1].is_integer()]
        return [_taken(item, place, number, values) for place, number in free]
    form = item.form or parameter.form
    if form in ("email", "uri", "path"):
        return values.of_kind("url" if form == "uri" else form)
    if item.kind not in ("string", "any"):
        return []
    if set(parameter.words) & (TO | PERSON) and (addresses := values.of_kind("email")):
        return addresses
    named = Parameter(parameter.name, "string", parameter.required, description=parameter.description)
    quoted = values.of_kind("quoted")
    return quoted or texts(named, all_, values)


def _object(parameter: Parameter, values: Values) -> list[Any]:
    if not parameter.fields:
        return []
    filled = fill(parameter.fields, values)
    return [filled.calls[0]] if filled.calls[0] and not filled.missing else []


def _fits(parameter: Parameter, text: str) -> bool:
    if not text:
        return False
    try:
        return not parameter.pattern or re.search(parameter.pattern, text) is not None
    except re.error:  # a pattern of another dialect: the tool itself will judge
        return True


def from_results(parameter: str, results: Sequence[Any]) -> Any:
    """A value for a missing argument out of earlier tools' results: a field of the same name."""
    wanted = {stem(word.text) for word in words_of(parameter.replace("_", " "))}
    for result in results:
        if isinstance(result, dict):
            for key, value in result.items():
                named = {stem(word.text) for word in words_of(str(key).replace("_", " "))}
                same = named == wanted or alike(str(key), parameter) == 1.0
                if same and isinstance(value, str | int | float) and not isinstance(value, bool):
                    return value
    return None


def takes_text(parameter: Parameter) -> bool:
    """Whether an argument is a text for people, such as a message's body."""
    return parameter.kind == "string" and bool(set(parameter.words) & BODY) and not parameter.form
