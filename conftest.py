"""The fixtures that start servers, for the tests of all packages, and where tests write."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

pytest_plugins = ["servers"]

# The width of the terminal that the tests are started from: tables would be narrower in one than in another.
os.environ.pop("COLUMNS", None)

#: Bytes that must be free: the tests of all packages write some 3 GB at the same time.
_ROOM = 8_000_000_000


def _write_to_memory() -> None:
    """Have temporary files lie in memory where there is room: a new database takes a fifth of the time there.

    Says so to the processes that the tests start, by `TMPDIR`; who has set that is left alone.
    """
    memory = Path("/dev/shm")  # noqa: S108 - the folder below it is this user's
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return
    free = os.statvfs(memory)
    told = re.search(r"MemAvailable: +([0-9]+) kB", Path("/proc/meminfo").read_text())
    if min(free.f_bavail * free.f_frsize, int(told[1]) * 1000 if told else 0) < _ROOM:
        return
    folder = memory / f"hopyard-{os.getuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


_write_to_memory()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write halves of surrogate pairs, which odd messages leave in logs, as pytest-xdist can send them."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
