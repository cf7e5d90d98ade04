"""Long work in a thread, which ends where the job is to end, and says how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from hopyard import cleaning, trees
from hopyard.cleaning import Stopped

from hopyard_file.telling import duration, megabytes

if TYPE_CHECKING:
    from hopyard import Job

T = TypeVar("T")

_PAUSE: Final = 0.5
_EARLY: Final = 0.01


class Teller:
    """Takes how far the work is, as `engine.backing_up.Tell`; tells it twice a second.

    `report` is called with what is done, the total and words; by a job that is `job.progress`.
    """

    def __init__(self, report: Callable[[float, float | None, str], None], stop: Callable[[], bool]) -> None:
        self._report = report
        self._stop = stop
        self._begun = time.monotonic()
        self._told = 0.0

    def __call__(self, files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None:  # noqa: A002
        if self._stop():
            raise Stopped
        now = time.monotonic()
        if now - self._told < _PAUSE:
            return
        self._told = now
        done, total = (bytes, all_bytes) if all_bytes else (files, all_files)
        self._report(done, total or None, self._words(now, files, bytes, all_files, all_bytes, what))

    def _words(self, now: float, files: int, size: int, all_files: int, all_bytes: int, what: str) -> str:
        if not files and not size:
            return trees.shown(what)
        told = f"{files:,}{f' of {all_files:,}' if all_files else ''} files"
        told += f", {megabytes(size)}{f' of {megabytes(all_bytes)}' if all_bytes else ''} MB"
        done, total = (size, all_bytes) if all_bytes else (files, all_files)
        if total and done >= _EARLY * total and now - self._begun > _PAUSE:
            told += f", {duration(max(0.0, (total - done) * (now - self._begun) / done))} left"
        return f"{told}: {trees.shown(what)}"


async def in_thread(job: Job | None, work: Callable[[Teller], T]) -> T:
    """Run work in a thread; where the job is cancelled the thread is told to stop, and waited for."""
    report = job.progress if job is not None else _silent
    return await cleaning.in_thread(lambda stop: work(Teller(report, stop)))


def _silent(current: float, total: float | None = None, message: str = "") -> None:
    """Say nothing."""
