"""The plugin keeps the contract of plugins."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hopyard.testing import Hop, PluginContract
from hopyard_maintenance import Maintenance

MASTER = "A" * 43 + "="


class TestMaintenance(PluginContract):
    plugin = Maintenance
    settings: ClassVar = {
        "plugins.maintenance.settings": {
            # A place that is never there: what happens to files is tested elsewhere.
            "logs": [{"path": "/srv/no-such-place-of-hopyard", "patterns": ["*.log"], "days": 30}],
            "master_keys": [MASTER],
            "keys": {"own": {"provider": "random"}},
        }
    }
    examples: ClassVar = {
        "maintenance.system_health_check": [{}],
        "maintenance.monitor_resource_usage": [{}],
        "maintenance.optimize_database": [{}, {"dry_run": True}],
        "maintenance.cleanup_old_logs": [{}, {"dry_run": True}],
        "maintenance.cleanup_old_sessions": [{}, {"confirm": 5}],
        "maintenance.cleanup_task_records": [{}, {"dry_run": True, "results_days": 3}],
        "maintenance.rotate_api_keys": [{}, {"names": ["own"], "force": True}],
        "maintenance.roll_back_api_key": [{"name": "own"}],
    }
    left_out: ClassVar = {
        "runs": "a key can be taken back only after two rotations; the other examples are run below",
    }


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("optimize_database", ["Sun 03:00"]),
        ("cleanup_old_logs", [f"{day} 03:30" for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")]),
        (
            "cleanup_old_sessions",
            [f"{day} 04:00" for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")],
        ),
        (
            "cleanup_task_records",
            [f"{day} 04:30" for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")],
        ),
    ],
)
def test_it_is_due_at_night(schedule: str, expected: list[str], tmp_path: Path) -> None:
    settings: Any = {"time_zone": "Europe/Oslo"}
    with Hop(Maintenance, folder=tmp_path, settings=settings) as hop:
        monday = datetime(2027, 3, 1)
        due = hop.due_between(f"maintenance.{schedule}", monday, monday + timedelta(days=7))
        assert [f"{at:%a %H:%M}" for at in due] == expected


@pytest.mark.parametrize("task", [*TestMaintenance.examples])
def test_its_examples_run(task: str, tmp_path: Path) -> None:
    for n, arguments in enumerate(TestMaintenance.examples[task]):
        settings: Any = TestMaintenance.settings
        with Hop(Maintenance, folder=tmp_path / str(n), settings=settings) as hop:
            if task == "maintenance.roll_back_api_key":
                hop.run("maintenance.rotate_api_keys")
                hop.run("maintenance.rotate_api_keys", names=["own"], force=True)
            assert hop.run(task, **arguments).ok
