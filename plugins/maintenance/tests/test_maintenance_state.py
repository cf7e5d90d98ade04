"""People are told of changes: once, when enough looks agree, and not of each where something flaps."""

from __future__ import annotations

from typing import Any

import pytest
from hopyard import conceal
from hopyard_maintenance import MaintenanceSettings, health, state
from hopyard_maintenance.models import ResourceUsage
from hopyard_maintenance.state import Finding, Patience, observe
from hopyard_maintenance.usage import judge, sample

WELL, ILL, BETWEEN = Finding(True, "fine"), Finding(False, "it is ill"), Finding(None, "so so")
AT_ONCE = Patience(1, 1000, 3600)


async def looks(*findings: Finding, patience: Patience = AT_ONCE) -> list[int]:
    """Look several times; return at which looks something changed."""
    return [n for n, finding in enumerate(findings) if await observe({"pump": finding}, patience)]


async def test_changes_are_told_and_states_are_not(installed: Any) -> None:
    assert await looks(WELL, ILL, ILL, WELL, WELL) == [1, 3]
    assert await installed.told() == ["pump is not well", "pump is well again"]
    (first, second) = await installed.rows("SELECT body FROM notification ORDER BY created")
    assert (first["body"], second["body"]) == ("it is ill", "fine")
    assert [one["ok"] for one in await health.changes(10)] == [True, False]


async def test_what_is_ill_when_it_is_first_seen_is_told(installed: Any) -> None:
    assert await looks(ILL) == [0]
    assert await installed.told() == ["pump is not well"]


async def test_several_looks_in_a_row_must_agree(installed: Any) -> None:
    patience = Patience(3, 1000, 3600)
    assert await looks(ILL, ILL, WELL, ILL, ILL, ILL, patience=patience) == [5]
    assert await looks(WELL, ILL, WELL, WELL, BETWEEN, WELL, WELL, WELL, patience=patience) == [7]
    assert await installed.told() == ["pump is not well", "pump is well again"]


async def test_between_the_thresholds_nothing_changes(installed: Any) -> None:
    assert await looks(BETWEEN, ILL, BETWEEN, BETWEEN, WELL) == [1, 4]


async def test_what_flaps_is_told_once_and_again_when_it_is_steady(installed: Any) -> None:
    patience = Patience(1, 4, 3600)
    assert await looks(ILL, WELL, ILL, WELL, ILL, WELL, ILL, patience=patience) == [*range(7)]
    assert await installed.told() == [
        "pump is not well",
        "pump is well again",
        "pump is not well",
        "pump is flapping",
    ]
    assert await state.flapping() == ["pump"]
    await looks(ILL, ILL, patience=patience)
    assert len(await installed.told()) == 4
    d = installed.hopyard.client().database.dialect
    await installed.execute(f"UPDATE maintenance_state SET changed = {d.minus('changed', '4000')}")
    await installed.execute(f"UPDATE maintenance_change SET at = {d.minus('at', '4000')}")
    await looks(ILL, ILL, patience=patience)
    assert (await installed.told())[4:] == ["pump is not well"]
    assert await state.flapping() == []
    await looks(WELL, patience=patience)
    assert (await installed.told())[5:] == ["pump is well again"]


async def test_what_a_dead_worker_left_untold_is_told_by_the_next_look(
    installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    async def dies(*args: Any, **kwargs: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(state, "alert", dies)
        with pytest.raises(Died):
            await looks(ILL)
    assert await installed.told() == []
    await looks(ILL)
    assert await installed.told() == ["pump is not well"]


async def test_one_that_was_told_by_a_worker_that_died_then_is_not_told_twice(
    installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await looks(ILL)
    await installed.execute("UPDATE maintenance_state SET told = false")
    await looks(ILL)
    assert await installed.told() == ["pump is not well"]


async def test_old_changes_are_forgotten(installed: Any) -> None:
    await looks(ILL, WELL)
    await state.forget(1)
    assert len(await health.changes(10)) == 2
    d = installed.hopyard.client().database.dialect
    await installed.execute(f"UPDATE maintenance_change SET at = {d.minus('at', '90000')}")
    await state.forget(1)
    assert await health.changes(10) == []


def usage(**values: Any) -> ResourceUsage:
    given: dict[str, Any] = {
        "reference": "R-AAAAAA",
        "at": "2027-01-01T00:00:00Z",
        "host": "web-1",
        "cpu_percent": 10,
        "cpu_count": 2,
        "load": 0.1,
        "memory_total": 100,
        "memory_used": 10,
        "memory_percent": 10,
        "disks": [{"path": "/", "total": 100, "used": 10, "free": 90, "percent": 10}],
        "queues": {},
        "warnings": [],
    }
    return ResourceUsage(**(given | values))


@pytest.mark.parametrize(
    ("percent", "ok"), [(10, True), (80.9, True), (81, None), (89.9, None), (90, False), (100, False)]
)
def test_use_is_judged_by_two_thresholds(percent: float, ok: bool | None) -> None:
    found = judge(usage(memory_percent=percent), MaintenanceSettings())
    assert found["usage.memory on web-1"].ok is ok
    assert [*found] == [
        "usage.cpu on web-1",
        "usage.memory on web-1",
        "usage.disk:/ on web-1",
        "usage.queues",
    ]


async def test_each_host_has_its_own_state(installed: Any) -> None:
    for host, percent in (("web-1", 99), ("web-2", 10), ("web-1", 99), ("web-2", 10)):
        await observe(judge(usage(host=host, memory_percent=percent), installed.settings), AT_ONCE)
    assert await installed.told() == ["usage.memory on web-1 is not well"]


async def test_no_secret_is_kept_or_told(installed: Any) -> None:
    conceal("CANARY-of-a-check")
    await looks(Finding(False, "CANARY-of-a-check is refused"))
    rows = [
        await installed.rows(f"SELECT * FROM {name}")
        for name in ("maintenance_state", "maintenance_change", "notification")
    ]
    assert "CANARY" not in str(rows)
    assert "*** is refused" in str(rows)


@pytest.mark.parametrize("path", ["/mnt/no-such-place-of-hopyard", "relative/no-such"])
async def test_a_disk_that_is_not_there_is_told_and_the_rest_is_measured(installed: Any, path: str) -> None:
    installed.set(disks=["/", path], alert_after=1, cpu_percent=100, memory_percent=100, disk_percent=100)
    found = await sample()
    assert [disk.problem is None for disk in found.disks] == [True, False]
    assert found.disks[0].total > 0
    assert [text for text in found.warnings if "cannot be measured" in text]
    assert len(await installed.rows("SELECT data FROM maintenance_sample")) == 1
    assert [title for title in await installed.told() if "usage.disk:" in title]


async def test_what_watches_waits_behind_nothing(installed: Any) -> None:
    plugins = installed.hopyard.plugins
    watching = {name for name, task in plugins.tasks.items() if task.queue == "maintenance.watch"}
    assert watching == {"maintenance.system_health_check", "maintenance.monitor_resource_usage"}
    assert plugins.queues["maintenance.watch"].group == plugins.queues["maintenance"].group == "maintenance"


async def test_what_nobody_looks_at_any_more_is_forgotten(installed: Any) -> None:
    for name in ("usage.cpu on pod-1", "usage.cpu on pod-2"):
        await observe({name: ILL}, AT_ONCE)
    d = installed.hopyard.client().database.dialect
    await installed.execute(f"UPDATE maintenance_state SET seen = {d.minus('seen', '180000')}")
    await observe({"usage.cpu on pod-2": ILL}, AT_ONCE)
    await state.forget(1)
    names = await installed.rows("SELECT name FROM maintenance_state")
    assert [row["name"] for row in names] == ["usage.cpu on pod-2"]
