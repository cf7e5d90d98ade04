"""`hopyard tasks`: what the plugins offer."""

from __future__ import annotations

from typing import Any

import click

from hopyard.cli import load_context
from hopyard.cli._output import emit, json_option, table
from hopyard.specs import Tool


@click.command("tasks")
@json_option
def command(as_json: bool) -> None:
    """List the tasks of all plugins, with their effective queue, limits and retries."""
    plugins = load_context(diagnosis=True).plugins
    rows: list[dict[str, Any]] = []
    for name, task in sorted(plugins.tasks.items()):
        options = plugins.options[name]
        rows.append(
            {
                "name": name,
                "queue": options.queue,
                "priority": options.priority,
                "time_limit": options.time_limit,
                "max_retries": options.retry.max_retries,
                "tool": task.tool is not None,
                "annotations": _annotations(task.tool),
                "summary": task.summary,
                "arguments": task.payload.schema() if as_json else None,
            }
        )
    # The schema of an argument called `password` is no password.
    emit(rows, as_json, _render, mask_names=False)


def _annotations(tool: Tool | None) -> dict[str, Any] | None:
    if tool is None:
        return None
    names = ("read_only", "destructive", "idempotent", "approval")
    return {name: getattr(tool, name) for name in names} | {"effect": tool.effect}


def _effect(annotations: dict[str, Any] | None) -> str:
    if annotations is None:
        return ""
    return f"{annotations['effect']}{', asks first' if annotations['approval'] else ''}"


def _render(rows: list[dict[str, Any]]) -> None:
    table(
        "Tasks",
        ("task", "queue", "priority", "time limit", "retries", "tool", "what it does"),
        [
            (
                row["name"],
                row["queue"],
                row["priority"],
                f"{row['time_limit']:g} s",
                row["max_retries"],
                _effect(row["annotations"]),
                row["summary"],
            )
            for row in rows
        ],
        drop=("priority", "retries", "time limit", "tool"),
    )
