"""From a request and the tools on offer to the calls to make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from hopyard_ai.offline._arguments import Filled, fill, from_results, takes_text
from hopyard_ai.offline._clauses import Asked, Clause, clauses
from hopyard_ai.offline._clauses import clause as clause_of
from hopyard_ai.offline._ranking import Choice, Ranking
from hopyard_ai.offline._schema import Parameter, parameters
from hopyard_ai.offline._values import Values
from hopyard_ai.offline._words import vocabulary

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

_REFERENCES = vocabulary("it that this them result results outcome answer output findings")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; it cannot be made while arguments are missing."""

    tool: str
    args: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What tells this call from others."""
        return self.tool + json.dumps(self.args, sort_keys=True, default=str)


@dataclass(slots=True)
class _Part:
    clause: Clause
    choices: list[Choice]


def plan(asked: Asked, tools: Sequence[ToolDefinition]) -> list[Call]:
    """The calls that the request asks for, in its order, each once. The same request gives the same calls."""
    ranking = Ranking(tools)
    parts: list[_Part] = []
    for clause in clauses(asked.request):
        choices = [] if clause.negated else ranking.choose(clause.words, partial(_lacking, clause, asked))
        if not choices and parts and not clause.negated and not _instruction(clause):
            parts[-1].clause = parts[-1].clause.joined(clause)
        elif not clause.negated:
            parts.append(_Part(clause, choices))
    parts = _together(parts, asked)
    chosen = [(part.clause, choice) for part in parts for choice in part.choices]
    if len(chosen) == 1 and parts[-1].clause.end > parts[0].clause.end:
        # One tool for all of the request: the other sentences are about its arguments too.
        chosen = [(clause_of(asked.request, parts[0].clause.start, parts[-1].clause.end), chosen[0][1])]
    calls = [call for clause, choice in chosen for call in _calls(clause, choice, asked)]
    return [call for place, call in enumerate(calls) if not _said_again(call, calls, place)]


def _together(parts: Sequence[_Part], asked: Asked) -> list[_Part]:
    """Join neighbours that ask for one tool where neither finds all its arguments alone."""
    found: list[_Part] = []
    for part in parts:
        last = found[-1] if found else None
        if last and len(last.choices) == 1 and _tools(last) == _tools(part):
            one, other = last.choices[0], part.choices[0]
            if _lacking(last.clause, asked, one) and _lacking(part.clause, asked, other):
                both = Choice(one.tool, one.score, one.matched | other.matched)
                found[-1] = _Part(last.clause.joined(part.clause), [both])
                continue
        found.append(part)
    return found


def _tools(part: _Part) -> list[str]:
    return [choice.tool.name for choice in part.choices]


def _lacking(clause: Clause, asked: Asked, choice: Choice) -> int:
    """How many required arguments a clause does not give."""
    known = parameters(choice.tool.parameters_json_schema)
    return len(fill(known, Values(clause, choice.matched, asked.now, asked.zone)).missing)


def _said_again(call: Call, calls: Sequence[Call], place: int) -> bool:
    """Whether another call of the tool says all that this one says: a sentence only went on about it."""
    for other_place, other in enumerate(calls):
        if other_place == place or other.tool != call.tool or other.missing:
            continue
        same = other.args == call.args
        if call.args.items() <= other.args.items() and (not same or other_place < place):
            return True
    return False


def _instruction(clause: Clause) -> bool:
    """Whether a clause that no tool fits still stands for itself, instead of going on with the one before."""
    return clause.start > 0 and clause.request[: clause.start].rstrip().endswith((".", "!", "?"))


def _calls(clause: Clause, choice: Choice, asked: Asked) -> list[Call]:
    known = parameters(choice.tool.parameters_json_schema)
    filled = fill(known, Values(clause, choice.matched, asked.now, asked.zone))
    if filled.missing:
        filled = _from_whole_request(known, choice, asked, filled)
    return [_referring(Call(choice.tool.name, args, filled.missing), known) for args in filled.calls]


def _referring(call: Call, known: Sequence[Parameter]) -> Call:
    """A text that is only a word for what came before ("mail the result") is to be filled from that."""
    refers = [item.name for item in known if str(call.args.get(item.name, "")).lower() in _REFERENCES]
    args = {name: value for name, value in call.args.items() if name not in refers}
    return Call(call.tool, args, (*call.missing, *refers))


def _from_whole_request(known: Sequence[Parameter], choice: Choice, asked: Asked, filled: Filled) -> Filled:
    """Look for what is missing in the rest of the request, but only for what can be recognised there."""
    values = Values(clause_of(asked.request, 0, len(asked.request)), choice.matched, asked.now, asked.zone)
    wanted = [
        item
        for item in known
        if item.name in filled.missing and (item.options or item.form or _is_place(item))
    ]
    more = fill(wanted, values)
    calls = tuple({**args, **more.calls[0]} for args in filled.calls)
    return Filled(calls, tuple(name for name in filled.missing if name not in more.calls[0]))


def _is_place(parameter: Parameter) -> bool:
    return bool({"city", "location", "place", "country", "region"} & set(parameter.words))


def completed(call: Call, tool: ToolDefinition, results: Sequence[Any], rendered: str) -> Call:
    """The call with what earlier results say about its missing arguments; a text is those results."""
    args = dict(call.args)
    for parameter in parameters(tool.parameters_json_schema):
        if parameter.name not in call.missing:
            continue
        value = from_results(parameter.name, results)
        if value is None and takes_text(parameter) and rendered:
            value = rendered
        if value is not None:
            args[parameter.name] = value
    return Call(call.tool, args, tuple(name for name in call.missing if name not in args))
