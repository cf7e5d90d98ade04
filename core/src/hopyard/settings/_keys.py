"""Keys as text: dotted as in TOML, with quotes where a part has a dot of its own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from hopyard.settings._model import Key

NAMED = ("tasks", "queues", "schedules")

_BARE = re.compile(r"[A-Za-z0-9_\-]+")


def dotted(key: Key) -> str:
    """`("tasks", "ai.x", "queue")` as `tasks."ai.x".queue`; indices as `[0]`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else f'"{part}"')
    return text


def parse(text: str) -> Key:
    """The parts of a dotted key; raises ValueError where it is none."""
    try:
        value: object = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"no dotted key: {text}") from error
    parts: list[str] = []
    while isinstance(value, dict):
        ((name, value),) = value.items()
        parts.append(name)
    return tuple(parts)


def join_names(parts: Sequence[str]) -> Key:
    """Put the dots back into names of tasks, queues and schedules.

    Where a dot or `__` separates everything, `tasks.ai.analyze.queue` means the key `queue` of the task
    `ai.analyze`: the last part is the key, before it (`retry`, `kwargs`) may stand a table.
    """
    if len(parts) < 3 or parts[0] not in NAMED:
        return tuple(parts)
    tail = 1
    if parts[0] == "tasks" and parts[-2] == "retry" and len(parts) > 3:
        tail = 2
    if parts[0] == "schedules" and "kwargs" in parts[2:]:
        tail = len(parts) - parts.index("kwargs", 2)
    return (parts[0], ".".join(parts[1:-tail]), *parts[-tail:])
