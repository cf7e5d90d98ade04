"""Hopyard plugin `ai`: people ask for something once or again and again; when it is due, an LLM does it.

The other plugins' tasks that are marked as tools are the LLM's tools.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopyard import HealthCheck, Plugin, Queue, Rule, Schedule, Task, Verdict, hookimpl

from hopyard_ai import tasks
from hopyard_ai.hooks import AIHooks, AITool
from hopyard_ai.settings import AISettings

if TYPE_CHECKING:
    import click
    from fastapi import APIRouter

__all__ = ["AI", "AIHooks", "AISettings", "AITool"]


class AI(Plugin[AISettings]):
    """Namespace `ai`."""

    migrations = "hopyard_ai.migrations"
    hookspecs = AIHooks

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("ai", slots=4, priority=10)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [
            tasks.act,
            tasks.analyze_content,
            tasks.check_ai_connection,
            tasks.classify,
            tasks.create_ai_reminder,
            tasks.generate_embeddings_batch,
            tasks.process_due_ai_tasks,
            tasks.process_with_llm,
            tasks.search,
            tasks.smart_categorization,
        ]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        return [
            Schedule("ai.process_due_ai_tasks", "ai.process_due_ai_tasks", Rule(every=600.0), overlap="skip")
        ]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        from hopyard_ai.health import model_reachable

        return [HealthCheck("model", model_reachable, time_limit=10.0)]

    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        from hopyard_ai import commands
        from hopyard_ai.content import commands as texts

        return [*commands.COMMANDS, *texts.COMMANDS]

    @hookimpl
    def register_routes(self) -> Iterable[APIRouter]:
        from hopyard_ai.web import router

        return [router]

    @hookimpl
    def classify_error(self, task: str, error: BaseException) -> Verdict | None:
        import sys

        if not task.startswith("ai.") or "pydantic_ai" not in sys.modules:
            return None
        from hopyard import classify

        from hopyard_ai.agent import providers

        known = providers.classify(error)
        return classify(known) if known else None
