"""Flower, as people run it beside Celery, sees Hopyard's workers and jobs."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from servers import free_port
from sites import Site


async def test_flower_sees_the_worker_and_the_job(running: Site, monkeypatch: Any) -> None:
    port = free_port()
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    running.start("celery", "-A", "hopyard", "flower", f"--port={port}", "--address=127.0.0.1", log="flower")

    async def ask(path: str) -> Any:
        def get() -> Any:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
                    return json.load(answer)
            except (urllib.error.URLError, ConnectionError):
                return None

        return await asyncio.to_thread(get)

    workers = await running.until(lambda: ask("workers?refresh=1"), "Flower knows the worker")
    assert list(workers) == ["w0@test"]
    assert "site.echo" in workers["w0@test"]["registered"]
    handle = await running.submit("site.echo", n=1)
    failed = await running.submit("site.wrong")
    await running.result(handle)

    async def seen() -> Any:
        tasks = await ask("tasks")
        known = tasks and {handle.id, failed.id} <= tasks.keys()
        return tasks if known and tasks[failed.id]["state"] == "FAILURE" else None

    tasks = await running.until(seen, "Flower knows the jobs")
    assert (tasks[handle.id]["name"], tasks[handle.id]["state"]) == ("site.echo", "SUCCESS")
    assert "a bug" in tasks[failed.id]["exception"]
