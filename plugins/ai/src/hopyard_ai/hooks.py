"""Hooks of this plugin's own, which other plugins implement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopyard import Tool, hookspec


@dataclass(frozen=True, slots=True)
class AITool:
    """A tool that is no task: `call` takes the arguments and returns JSON-like data.

    It runs inside the request's own job, and again where that job is interrupted: it must not mind.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments."""
    call: Callable[[dict[str, Any]], Awaitable[Any]]
    marks: Tool = field(default_factory=Tool)
    """What a call does, and whether a person must agree to it."""


class AIHooks:
    """Collect: data, checked by the ai plugin."""

    @hookspec
    def register_tools(self) -> Iterable[AITool]:  # type: ignore[empty-body]
        """Return tools for the LLM beside the tasks that are marked as tools."""
