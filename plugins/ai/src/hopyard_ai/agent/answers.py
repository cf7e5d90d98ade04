"""What a model answers, made fit to be stored, shown and acted on, whatever its server sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from hopyard import redact
from hopyard.errors import InvalidInput, TransientError

#: Stands in for arguments that cannot be used; its value says why, and the model is told.
UNUSABLE: Final = "unusable arguments"
DECLINED: Final = "The model declined to answer this request."
CUT: Final = "… [the model's answer was cut off here: it was longer than its limit]"


class UnusableAnswer(TransientError):
    """An answer that arrived, and may have to be paid for, and cannot be used. Another one may do."""


_HALVES: Final = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}") | {0: None}


def clean(text: str) -> str:
    """Return a text that every database can store: without NUL and without halves of characters."""
    return text if text.isascii() and "\0" not in text else text.translate(_HALVES)


def encoded(value: Any) -> str:
    """Return a result as JSON text, secrets masked and texts clean. Raises `TypeError`, `ValueError`.

    The texts are masked before they are encoded: masked afterwards it might be no JSON any more.
    """
    plain = json.loads(json.dumps(value, default=str))
    return json.dumps(_each(plain, lambda text: clean(redact(text))), ensure_ascii=False)


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON-like data with all its texts and names changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): _each(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return value


def made_fit(answer: Any, messages: Sequence[Any], key: str = "") -> Any:
    """Return an answer of a model (pydantic-ai's `ModelResponse`) that can be stored and acted on.

    Texts are clean and without secrets; `key`, the model's own, is nowhere in it. Each call has an id that
    no other one has, and an object as its arguments. What was cut off at the model's limit is marked, and
    such calls do not run. Raises `InvalidInput` where the model refused, `UnusableAnswer` for one with
    nothing in it.
    """
    from pydantic_ai.messages import TextPart, ThinkingPart, ToolCallPart

    if answer.finish_reason == "content_filter":
        raise InvalidInput(DECLINED)
    cut = answer.finish_reason == "length"
    taken = {p.tool_call_id for message in messages for p in message.parts if isinstance(p, ToolCallPart)}
    parts: list[Any] = []
    for part in answer.parts:
        if isinstance(part, ToolCallPart):
            part = _call(part, key, cut)
            part = replace(part, tool_call_id=_free(part.tool_call_id, taken))
            taken.add(part.tool_call_id)
        elif isinstance(part, TextPart | ThinkingPart):
            part = replace(part, content=redact(clean(_without(part.content, key))))
        parts.append(part)
    if not any(isinstance(part, ToolCallPart) or getattr(part, "content", None) for part in parts):
        raise UnusableAnswer("the model's answer has nothing in it")
    return replace(answer, parts=_marked(parts) if cut else parts)


def _call(part: Any, key: str, cut: bool) -> Any:
    try:
        written = part.args if isinstance(part.args, str) else json.dumps(part.args or {})
        args = _each(json.loads(written or "{}", strict=False), lambda text: clean(_without(text, key)))
    except (ValueError, TypeError, RecursionError):
        args = None
    if not isinstance(args, dict):
        args = {UNUSABLE: "its arguments are no JSON object"}
    if cut:
        args = {UNUSABLE: "your answer was cut off at its length limit; make the call again, with less text"}
    return replace(part, args=args, tool_name=clean(part.tool_name), tool_call_id=clean(part.tool_call_id))


def _without(text: str, key: str) -> str:
    return text.replace(key, "***") if key else text


def _free(id_: str, taken: Iterable[str]) -> str:
    """Return an id that no other call has: some servers count anew in each answer."""
    known, found, n = set(taken), id_, 1
    while found in known:
        n += 1
        found = f"{id_}-{n}"
    return found


def _marked(parts: list[Any]) -> list[Any]:
    from pydantic_ai.messages import TextPart, ToolCallPart

    if any(isinstance(part, ToolCallPart) for part in parts):
        return parts
    last = max((n for n, part in enumerate(parts) if isinstance(part, TextPart)), default=None)
    if last is None:
        return [*parts, TextPart(CUT)]
    return [*parts[:last], replace(parts[last], content=f"{parts[last].content} {CUT}"), *parts[last + 1 :]]
