"""All hooks, the core's and the plugins': signature, and who calls them, where, for how long."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from hopyard.hookspecs import EXCEPTIONS, PROJECT, SUBJECTS, Collect, Facts

from hopyard_reference._plugins import classes
from hopyard_reference._words import code, said, signature, table

_HEAD = ("", "")


def page() -> str:
    """Return the page's text."""
    parts = []
    for subject in SUBJECTS:
        parts.append(f"## {subject.__name__}\n\n{said(subject)}")
        parts += [_hook(name, function, facts) for name, function, facts in hooks(subject)]
    for plugin, cls in classes():
        if cls.hookspecs is not None:
            parts.append(f"## Of the plugin {plugin}\n\n{said(cls.hookspecs)}")
            parts += [_hook(name, function, facts) for name, function, facts in hooks(cls.hookspecs)]
    return "\n".join(parts)


def hooks(subject: type) -> Iterator[tuple[str, Any, Facts]]:
    """Yield the hooks of a class of specifications: name, function, and how it is called."""
    kind: Facts = getattr(subject, "facts", Collect.facts)
    for name, function in vars(subject).items():
        if inspect.isfunction(function) and hasattr(function, f"{PROJECT}_spec"):
            yield name, function, EXCEPTIONS.get(name, kind)


def _hook(name: str, function: Any, facts: Facts) -> str:
    declared = code(signature(name, function))
    rows = [
        ("caller", facts.caller),
        ("process", facts.process),
        ("thread", facts.thread),
        ("time limit", facts.time_limit),
        ("an exception, a hang, a wrong value", facts.error),
    ]
    return f"### `{name}`\n\n{declared}\n{said(function)}\n{table(_HEAD, rows)}"
