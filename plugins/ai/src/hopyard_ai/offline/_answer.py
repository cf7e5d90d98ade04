"""What the offline model says: tools' results in plain lines, and honest sentences where there are none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hopyard_ai.offline._words import vocabulary, words_of

LABEL = "(offline model local:extractive)"
_LONGEST = 4_000
_MOST_ITEMS = 40
_FENCE = re.compile(r"^\s*<(?P<tag>[a-z_:-]+)(?:\s[^>]*)?>\n?(?P<body>.*?)\n?</(?P=tag)>\s*$", re.DOTALL)
_ASKING = vocabulary(
    "what which who whose when where why how is are does do did can could tell show give find check "
    "list summarise  summarize translate convert compute calculate search look get fetch report send "
    "write count compare explain read"
)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a tool call came back with; `failed` where it is an error."""

    tool: str
    args: Mapping[str, Any]
    value: Any
    failed: bool


def value_of(content: Any) -> Any:
    """A tool's result as JSON-like values; fences around it are taken off."""
    if not isinstance(content, str):
        return content
    text = match["body"] if (match := _FENCE.match(content)) is not None else content
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def answer(returned: Sequence[Returned], missing: Sequence[tuple[str, Sequence[str]]]) -> str:
    """The final message: a line or a block for each call, failures said plainly, then the model's label."""
    lines = [_line(item) for item in returned]
    for tool, names in missing:
        listed = ", ".join(f"`{name}`" for name in names)
        lines.append(f"{_title(tool)}: not called, because the request does not say {listed}.")
    return "\n".join([*lines, LABEL])


def without_tools(request: str) -> str:
    """The final message where no tool fits: a reminder is passed on, a question refused."""
    text = request.strip()
    if not text:
        return f"There was nothing to do in this request. {LABEL}"
    words = [word.lower for word in words_of(text) if word.kind == "word"]
    asks = text.endswith("?") or bool(words and words[0] in _ASKING)
    if asks:
        return f"I was asked: “{text}” I have no tool for that. {LABEL}"
    shown = text[0].lower() + text[1:] if len(words) > 1 and not text[1:2].isupper() else text
    return f"A friendly reminder: {shown.rstrip('.!')}. {LABEL}"


def render(value: Any) -> str:
    """JSON-like values as text to read: `key: value`, one after the other; nothing is rounded or renamed."""
    text = _rendered(value, 0)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _line(item: Returned) -> str:
    shown = render(item.value)
    about = ", ".join(render(value) for value in item.args.values() if isinstance(value, str | int | float))
    head = f"{_title(item.tool)} ({about})" if about and len(about) <= 80 else _title(item.tool)
    if item.failed:
        return f"{head} failed: {shown}"
    return f"{head}:\n{shown}" if "\n" in shown else f"{head}: {shown}"


def _title(tool: str) -> str:
    name = tool.rsplit("__", 1)[-1]
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").strip()
    return plain[:1].upper() + plain[1:]


def _rendered(value: Any, depth: int) -> str:
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple):
        return _sequence(value, depth)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _mapping(value: Mapping[Any, Any], depth: int) -> str:
    if not value:
        return "nothing"
    pairs = [(str(key).replace("_", " "), _rendered(item, depth + 1)) for key, item in value.items()]
    joined = ", ".join(f"{key}: {shown}" for key, shown in pairs)
    if "\n" not in joined and (depth or len(joined) <= 200):
        return f"({joined})" if depth else joined
    indent = "  " * depth
    return "\n".join(f"{indent}- {key}:{_after(shown)}" for key, shown in pairs)


def _after(shown: str) -> str:
    return f"\n{shown.lstrip(chr(10))}" if "\n" in shown else f" {shown}"


def _sequence(value: Sequence[Any], depth: int) -> str:
    if not value:
        return "nothing"
    shown = [_rendered(item, depth + 1) for item in value[:_MOST_ITEMS]]
    more = len(value) - len(shown)
    if not any("\n" in item or len(item) > 60 or item.startswith("(") for item in shown):
        return ", ".join(shown) + (f" and {more} more" if more else "")
    indent = "  " * depth
    lines = [f"{indent}- {item.strip().removeprefix('(').removesuffix(')')}" for item in shown]
    # The empty line's end makes a list of one a block of its own too.
    return "\n".join(
        [*([""] if len(lines) == 1 else []), *lines, *([f"{indent}- and {more} more"] if more else [])]
    )
