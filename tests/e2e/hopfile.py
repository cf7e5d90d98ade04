"""What the browser looks at: a job that goes on when it is told to, jobs that fail, and a schedule."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from hopyard import (
    Job,
    Panel,
    PanelData,
    Plugin,
    PluginSettings,
    Queue,
    RetryPolicy,
    Rule,
    Schedule,
    Task,
    Tool,
    hookimpl,
    task,
)

ONCE = RetryPolicy(max_retries=0)


@task("site.walk")
async def walk(
    job: Job,
    gates: str,
    steps: int = 4,
    kind: Literal["slow", "quick"] = "quick",
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """Walk through gates, each of which a file opens."""
    for step in range(1, steps + 1):
        job.progress(step, steps, f"gate {step}")
        job.log.info("waiting at gate %d", step)
        while not (Path(gates) / str(step)).exists():
            await asyncio.sleep(0.02)
    return {"walked": steps, "kind": kind, "tags": tags}


@task("site.fail", retry=ONCE)
async def fail(n: int, what: str = "the bank declined it") -> None:
    """Fail."""
    raise ValueError(f"{what}: order {n} <script>alert(1)</script>")


@task("site.quick", queue="site.quick")
async def quick(n: int = 1) -> int:
    """Return what it is given."""
    return n


@task("site.open_gate", tool=Tool(approval=True, idempotent=True))
async def open_gate(who: str) -> str:
    """Open the gate for somebody."""
    return f"The gate is open for {who}."


def gates() -> PanelData:
    """Say which gates are open."""
    figures = {"Gates": 2, "Open": 1}
    rows: list[list[str | bool | datetime | None]] = [
        ["north", True, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)],
        ["<b>south</b>", False, None],
    ]
    return PanelData(figures, ["Gate", "Open", "Since"], rows, "Mind the gap.\nAnd the step.")


def broken() -> PanelData:
    """Fail."""
    raise ValueError("the gauge is off")


class Site(Plugin[PluginSettings]):
    """Hooks without packaging."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("site"), Queue("site.quick", group="site")]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [walk, fail, quick, open_gate]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        return [Schedule("site.nightly", "site.quick", Rule(cron="30 2 * * *", zone="Europe/Oslo"))]

    @hookimpl
    def register_panels(self) -> Iterable[Panel]:
        return [Panel("gates", "Gates", gates), Panel("gauge", "Gauge", broken)]
