"""Limits of control groups, from files as kernels write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hopyard_maintenance import control_group, machine
from hopyard_maintenance.control_group import Limits

GB = 2**30


def kernel(folder: Path, own: str, files: Mapping[str, str]) -> tuple[Path, Path]:
    """Write what a kernel shows; return where it is mounted, and the process's own file."""
    root = folder / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (folder / "own").write_text(own)
    return root, folder / "own"


V2 = {
    "a/b/memory.max": f"{2 * GB}\n",
    "a/b/memory.current": f"{GB}\n",
    "a/b/memory.stat": f"anon 5\ninactive_file {GB // 4}\n",
    "a/b/cpu.max": "150000 100000\n",
    "a/b/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    "a/memory.max": f"{4 * GB}\n",
    "a/memory.current": f"{3 * GB}\n",
    "a/cpu.max": "max 100000\n",
}
V1 = {
    "memory/x/memory.limit_in_bytes": f"{GB}\n",
    "memory/x/memory.usage_in_bytes": f"{GB // 2}\n",
    "memory/x/memory.stat": f"total_inactive_file {GB // 4}\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.usage_in_bytes": "1\n",
    "cpu/x/cpu.cfs_quota_us": "50000\n",
    "cpu/x/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpuacct/x/cpuacct.usage": "3000000000\n",
}
V1_OWN = "3:memory:/x\n2:cpuacct:/x\n1:cpu:/x\n"
UNLIMITED = {"memory.max": "max\n", "memory.current": "1\n", "cpu.max": "max 100000\n"}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a/b\n", V2, Limits(1.5, 2 * GB, GB - GB // 4)),
        ("0::/a\n", V2, Limits(None, 4 * GB, 3 * GB)),
        # In a container the path is the host's, and what is mounted is the container's own.
        ("0::/docker/1234\n", {name.removeprefix("a/b/"): text for name, text in V2.items()}, None),
        (V1_OWN, V1, Limits(0.5, GB, GB // 4)),
        (V1_OWN + "0::/\n", V1, Limits(0.5, GB, GB // 4)),
        ("0::/\n", UNLIMITED, Limits()),
        ("0::/../..\n", UNLIMITED, Limits()),
        ("", {}, Limits()),
        ("0::/a/b\n", {"a/b/memory.max": "many", "a/b/memory.current": "", "a/b/cpu.max": "1"}, Limits()),
        ("0::/a\n", {"a/cpu.max": "100000 0\n"}, Limits()),
    ],
)
def test_the_least_limit_counts(
    tmp_path: Path, own: str, files: dict[str, str], expected: Limits | None
) -> None:
    root, file = kernel(tmp_path, own, files)
    assert control_group.limits(root, file) == (expected or Limits(1.5, 2 * GB, GB - GB // 4))


def test_processor_time_that_was_used(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    assert control_group.cpu_seconds(*kernel(tmp_path / "two", "0::/a/b\n", V2)) == 2.5
    assert control_group.cpu_seconds(*kernel(tmp_path / "one", V1_OWN, V1)) == 3.0
    assert control_group.cpu_seconds(tmp_path / "none", tmp_path / "none") is None


def test_this_machine_can_be_read() -> None:
    found = control_group.limits()
    assert found.memory is None or found.memory > 0


def test_a_sample_is_of_what_the_group_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter((10.0, 10.075))  # a quarter of the group's half processor, over 0.3 s

    def seconds(*args: Any) -> float:
        return next(used)

    clock = iter((100.0, 100.3))
    monkeypatch.setattr(control_group, "limits", lambda: Limits(0.5, 1000, 250))
    monkeypatch.setattr(control_group, "cpu_seconds", seconds)
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 99.0)
    usage = machine.measure(())
    assert (usage.memory_total, usage.memory_used, usage.memory_percent) == (1000, 250, 25.0)
    assert (usage.cpu_percent, usage.cpu_count, usage.limited) == (50.0, 1, True)


def test_a_sample_without_a_group_is_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_group, "limits", lambda: Limits(1e6, 1 << 59, 1))
    usage = machine.measure(("/",))
    assert usage.cpu_count >= 1
    assert usage.memory_total < 1 << 50
    assert usage.host == machine.host()
    (disk,) = machine.measure(("/no/such/disk",)).disks
    assert disk.summary == "The disk /no/such/disk cannot be measured: No such file or directory."
