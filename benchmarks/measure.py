"""What processes use: CPU seconds and memory of whole process trees, as the kernel counts them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil


def tree(roots: Iterable[int]) -> list[psutil.Process]:
    """Return processes and all that descend from them, parents first."""
    found: list[psutil.Process] = []
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(root)
            found += [parent, *parent.children(recursive=True)]
    return found


def cpu(roots: Iterable[int]) -> float:
    """Return user and system seconds of process trees, with those of children that ended."""
    total = 0.0
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass(frozen=True)
class Memory:
    """MiB. `rss` counts shared pages once a process, `pss` once in all; `largest` is one process' RSS."""

    rss: float
    pss: float
    largest: float


def memory(roots: Iterable[int]) -> Memory:
    """Return the memory of process trees."""
    seen = []
    for process in tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            seen.append(process.memory_full_info())
    mib = 1 << 20
    return Memory(
        sum(one.rss for one in seen) / mib,
        sum(one.pss for one in seen) / mib,
        max((one.rss for one in seen), default=0) / mib,
    )


class Peak:
    """The largest sum of resident memory of process trees seen so far, in MiB."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.roots, self.mib = roots, 0.0

    def look(self) -> None:
        total = 0
        for process in tree(self.roots):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        self.mib = max(self.mib, total / (1 << 20))


@contextmanager
def peak(roots: Sequence[int], every: float = 0.05) -> Iterator[Peak]:
    """Watch memory until the end of the block."""
    watched, over = Peak(roots), threading.Event()

    def watch() -> None:
        while not over.wait(every):
            watched.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()
        watched.look()


def wall() -> float:
    """Return the clock of all walls here, the one of the jobs' marks."""
    return time.monotonic()
