"""A cancelled run whose tool still runs, in a real worker: the tool ends, too, and its person is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hopyard import Job, Plugin, PluginSettings, Queue, Tool, hookimpl, portal, task
from hopyard.ledger import cancelling
from hopyard.testing import FakeModel, Hop


@task("garden.water", tool=Tool())
async def water(job: Job, zone: int) -> str:
    """Water a zone of the garden, which takes long."""
    job.progress(0, 1, "watering")
    await asyncio.sleep(600)
    return f"zone {zone} is watered"


class Garden(Plugin[PluginSettings]):
    """Namespace `garden`."""

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("garden")]

    @hookimpl
    def register_tasks(self) -> Any:
        return [water]


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with FakeModel() as made:
        yield made


def until(true: Callable[[], Any]) -> Any:
    """Return the first true answer, within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answer := true():
            return answer
        time.sleep(0.02)
    raise AssertionError("not within a minute")


def test_its_tool_is_cancelled_and_its_person_told(model: FakeModel, tmp_path: Path) -> None:
    settings = {**model.settings, "people.alice": {"zone": "UTC"}}
    with Hop("ai", {"garden": Garden}, folder=tmp_path / "data", settings=settings) as hop:
        text = "in 1 hour water zone 5"
        made = hop.run("ai.create_ai_reminder", text=text, person="alice").result()
        model.says('{"action": "act", "reason": "it is time"}')
        model.calls(("garden__water", {"zone": 5}))

        def one(name: str, state: str) -> str | None:
            return next((str(job["id"]) for job in hop.jobs(name) if job["state"] == state), None)

        with hop.worker():
            act = hop.hopyard.task("ai.act").options(person="alice").sync.submit(request=made.request.id)
            until(lambda: one("garden.water", "running"))
            database = hop.hopyard.open_database()

            async def cancel() -> None:
                await cancelling.cancel(database, [act.id], "not today")
                await database.close()

            portal.run(cancel())
            until(lambda: one("ai.act", "cancelled"))
            until(lambda: one("garden.water", "cancelled"))
            told = until(lambda: hop.notifications)
        assert told[-1]["person"] == "alice"
        assert "cancelled" in f"{told[-1]['title']} {told[-1]['body']}".lower()
