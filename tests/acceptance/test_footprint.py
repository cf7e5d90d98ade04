"""What an installation costs when it does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
from stacks import running_stack

MEGABYTE = 1024 * 1024


def test_an_idle_worker_with_every_plugin_stays_under_150_megabytes(tmp_path: Path) -> None:
    """One worker process for all queues, after it has run a job."""
    with running_stack(tmp_path) as stack:
        assert stack.hopyard("run", "maintenance.system_health_check").returncode == 0
        running = json.loads((tmp_path / ".hopyard" / "run.json").read_text())["processes"]
        workers = [process["pid"] for process in running if process["name"].startswith("worker-")]
        assert workers
        for pid in workers:
            assert psutil.Process(pid).memory_info().rss < 150 * MEGABYTE
