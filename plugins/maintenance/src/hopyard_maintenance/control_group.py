"""What the control group of this process allows and uses, as the kernel's files say (versions 2 and 1).

A limit holds for a group and all groups within it, so the least on the way to the root counts. Within a
container the mounted directory is the container's own group, whatever path `/proc/self/cgroup` names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
#: Version 1 says "no limit" with a number near 2^63.
_UNLIMITED: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit. `cpus` are whole processors' worth of time, such as 1.5; memory is in bytes.

    `memory_used` leaves out the files that the kernel may drop at any time, and belongs to the group with the
    least limit.
    """

    cpus: float | None = None
    memory: int | None = None
    memory_used: int | None = None


def limits(root: Path = _ROOT, own: Path = _OWN) -> Limits:
    """Read what this process may have. Without control groups, or where they cannot be read: no limits."""
    places = _places(own)
    unified = root / "unified" if (root / "unified").is_dir() else root
    memory = _least_memory([*_groups(unified, places.get("", "/"))]) or _least_memory(
        [*_groups(root / "memory", places.get("memory", "/"))]
    )
    cpus = [
        *_quotas(_groups(unified, places.get("", "/"))),
        *_old_quotas(_groups(_cpu_mount(root), places.get("cpu", "/"))),
    ]
    limit, used = memory or (None, None)
    return Limits(min(cpus, default=None), limit, used)


def cpu_seconds(root: Path = _ROOT, own: Path = _OWN) -> float | None:
    """Return the processor time that the group has used so far, in seconds; None where nobody counts it."""
    places = _places(own)
    unified = root / "unified" if (root / "unified").is_dir() else root
    for group in _groups(unified, places.get("", "/")):
        used = _fields(group / "cpu.stat").get("usage_usec")
        if used is not None:
            return used / 1e6
    for group in _groups(root / "cpuacct", places.get("cpuacct", "/")):
        nanoseconds = _number(group / "cpuacct.usage")
        if nanoseconds is not None:
            return nanoseconds / 1e9
    return None


def _places(own: Path) -> dict[str, str]:
    """Return the path of this process's group by controller; version 2 has the empty name."""
    found: dict[str, str] = {}
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _groups(mount: Path, path: str) -> Iterator[Path]:
    """Yield the directories of a group and of those around it, as far as they are there."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        group = mount.joinpath(*parts[:depth])
        if group.is_dir():
            yield group


def _cpu_mount(root: Path) -> Path:
    both = root / "cpu,cpuacct"
    return both if both.is_dir() else root / "cpu"


def _least_memory(groups: list[Path]) -> tuple[int, int] | None:
    """Return the least limit of the groups, and what the group that has it uses."""
    found = []
    for group in groups:
        for limit_file, used_file, reclaimable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = _number(group / limit_file), _number(group / used_file)
            if limit is not None and used is not None and 0 < limit < _UNLIMITED:
                dropped = _fields(group / "memory.stat").get(reclaimable, 0)
                found.append((limit, max(0, used - dropped)))
    return min(found, default=None)


def _quotas(groups: Iterator[Path]) -> Iterator[float]:
    for group in groups:
        parts = _text(group / "cpu.max").split()
        if len(parts) == 2 and parts[0].isdecimal() and int(parts[1]) > 0:
            yield int(parts[0]) / int(parts[1])


def _old_quotas(groups: Iterator[Path]) -> Iterator[float]:
    for group in groups:
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:
            yield quota / period


def _fields(file: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in _text(file).splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            found[name] = int(value)
    return found


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(errors="replace")
    return ""
