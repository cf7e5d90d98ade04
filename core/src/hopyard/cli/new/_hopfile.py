"""The text of a new `hopfile.py`."""

from __future__ import annotations

from typing import Final

HOPFILE: Final = '''"""This site's own tasks: `hopyard run site.greet --who Ada`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hopyard import Job, Plugin, PluginSettings, Queue, Rule, Schedule, Task, hookimpl, task


@task("site.greet")
async def greet(job: Job, who: str) -> str:
    """Greet somebody."""
    job.progress(1, 1, f"greeting {who}")
    return f"Hello, {who}!"


class Site(Plugin[PluginSettings]):
    """Namespace `site`: what is only for this installation."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("site", slots=8)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [greet]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        return [Schedule("site.every_morning", "site.greet", Rule(cron="0 8 * * *"), kwargs={"who": "world"})]
'''
