"""The LLM's tools: tasks that are marked as tools, run as child jobs, and what plugins add by hook."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from hopyard import Hopyard, Job, JobHandle, Tool
from hopyard.errors import HopyardError, TaskError
from hopyard.storage import derived_id

from hopyard_ai.agent.executor import ToolSpec
from hopyard_ai.hooks import AITool

log = logging.getLogger("hopyard.task.ai")


class Toolbox:
    """The tools of one run."""

    def __init__(self, job: Job, run: str, patterns: tuple[str, ...], approval: str) -> None:
        self._job = job
        self._run = run
        self._approval = approval
        self._children: dict[str, JobHandle[Any]] = {}
        self._hopyard = Hopyard.current()
        self._added: dict[str, AITool] = {
            tool.name: tool
            for _, tool in self._hopyard.plugins.collect("register_tools")
            if isinstance(tool, AITool)
        }
        self._patterns = patterns

    def specs(self) -> list[ToolSpec]:
        """Return what the model is told."""
        tasks = [
            self._spec(name, task.tool.description or task.doc, task.payload.schema(), task.tool)
            for name, task in sorted(self._hopyard.tasks.items())
            if task.tool is not None and self._allowed(name)
        ]
        added = [
            self._spec(tool.name, tool.description, tool.parameters, tool.marks)
            for name, tool in sorted(self._added.items())
            if self._allowed(name)
        ]
        return tasks + added

    def _spec(self, name: str, description: str, parameters: Mapping[str, Any], tool: Tool) -> ToolSpec:
        asks = (
            tool.approval or self._approval == "all" or (self._approval == "changes" and not tool.read_only)
        )
        return ToolSpec(name, description, parameters, asks, tool.read_only, tool.effect)

    def _allowed(self, name: str) -> bool:
        if name.startswith("ai."):
            return False
        out = [pattern[1:] for pattern in self._patterns if pattern.startswith("!")]
        into = [pattern for pattern in self._patterns if not pattern.startswith("!")]
        return any(fnmatchcase(name, p) for p in into or ["*"]) and not any(fnmatchcase(name, p) for p in out)

    async def call(self, name: str, args: dict[str, Any], call_id: str) -> Any:
        """Call a tool; a task as a child job whose id follows from run and call: repeated it is the same.

        This job holds no slot while it waits. Raises what the child ended with.
        """
        added = self._added.get(name)
        if added is not None:
            return await _call_added(added, args)
        task = self._hopyard.task(name)
        child = task.options(id=derived_id(self._run, call_id), person=self._job.person)
        submitted = await child.submit(**args)
        handle = self._hopyard.handle(submitted.id)
        self._children[call_id] = handle
        async with self._job.release_slot():
            value = await handle.result()
        del self._children[call_id]
        return value

    async def cancel(self) -> None:
        """Cancel the child jobs that are not over."""
        for handle in self._children.values():
            await handle.cancel("the request that called it was cancelled")


async def _call_added(tool: AITool, args: dict[str, Any]) -> Any:
    try:
        return await tool.call(args)
    except HopyardError:
        raise
    except Exception as error:  # a plugin's code: the model is told, the log has the rest
        log.exception("the tool %s failed", tool.name)
        raise TaskError(f"{type(error).__name__}: {error}") from error
