"""The installation whose ledgers are kept as snapshots."""

from __future__ import annotations

import uuid
from typing import Final

HOPFILE: Final = """
from hopyard import Job, Plugin, PluginSettings, Queue, hookimpl, task

@task("site.note")
async def note(job: Job, what: str) -> list:
    sent = await job.effect("mail", send, to="alice") if what == "effect" else None
    return [what, job.checkpoint, sent]

async def send(to): return "sent again"

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=4)]
    @hookimpl
    def register_tasks(self): return [note]
"""

SETTINGS: Final = """
broker_url = "{broker}"
database_url = "{database}"
[plugins]
allow = ["ai", "maintenance", "site"]
"""


def id_of(name: str) -> str:
    """Return the id of a job of the snapshots."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
