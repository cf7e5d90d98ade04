"""What the jobs of all systems do: mark when they started, in a file that all processes share.

Job `i` writes the monotonic clock into slot `i`, so that nobody has to ask a server how far the workers are.
Needs nothing but the standard library; the file is named by BENCH_MARKS.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time

SLOTS = 4_000_000
NAP = float(os.environ.get("BENCH_NAP", "0.05"))


def marks(path: str | None = None) -> memoryview:
    """Return the slots: seconds of the monotonic clock as doubles, 0 where nothing started."""
    with open(path or os.environ["BENCH_MARKS"], "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), SLOTS * 8)).cast("d")


_marks = marks() if "BENCH_MARKS" in os.environ else None


def noop(i: int) -> int:
    """Do nothing, return the number."""
    _marks[i] = time.monotonic()
    return i


def nap(i: int) -> int:
    """Wait, as for another machine."""
    _marks[i] = time.monotonic()
    time.sleep(NAP)
    return i


async def async_noop(i: int) -> int:
    """As `noop`."""
    _marks[i] = time.monotonic()
    return i


async def async_nap(i: int) -> int:
    """As `nap`."""
    _marks[i] = time.monotonic()
    await asyncio.sleep(NAP)
    return i
