"""Progress of work on files: how many, how many bytes, how long it will take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hopyard import Job

#: Before so much is done, nobody knows how long the rest will take.
_EARLY: Final = 0.01
_SHORTEST: Final = 0.5


class Progress:
    """Counts what is done of a job and tells it: the number is that of bytes, of files where all are empty.

    `files` and `bytes` are totals, None where they are not known. What an earlier attempt has done is given
    as `files_done` and `bytes_done`, so that it does not count for the speed.
    """

    def __init__(
        self,
        job: Job | None,
        files: int | None,
        bytes: int | None,  # noqa: A002 - what it is
        *,
        files_done: int = 0,
        bytes_done: int = 0,
    ) -> None:
        self._job = job
        self._files = files
        self._bytes = bytes
        self._begun = time.monotonic()
        self._first = bytes_done
        self._first_files = files_done
        self.files_done = files_done
        self.bytes_done = bytes_done
        self._told = 0.0

    def step(self, *, files: int = 0, bytes: int = 0, what: str = "") -> None:  # noqa: A002 - what it is
        """Add what was done, and tell it at most twice a second. Raises where the job should stop."""
        self.files_done += files
        self.bytes_done += bytes
        now = time.monotonic()
        last = self._files is not None and self.files_done >= self._files
        if self._job is None or (now - self._told < _SHORTEST and not last):
            return
        self._told = now
        total = self._bytes or self._files
        done = self.bytes_done if self._bytes else self.files_done
        self._job.progress(done, total, self.words(now, what))

    def words(self, now: float, what: str = "") -> str:
        """Return what is told."""
        of_files = "" if self._files is None else f" of {self._files:,}"
        of_bytes = "" if self._bytes is None else f" of {megabytes(self._bytes)}"
        told = f"{self.files_done:,}{of_files} files, {megabytes(self.bytes_done)}{of_bytes} MB"
        left = self.seconds_left(now)
        if left is not None:
            told += f", {duration(left)} left"
        return f"{told}: {what}"[:500] if what else told

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest takes at the speed so far; None where that cannot be said yet."""
        by_bytes = bool(self._bytes)
        total = self._bytes if by_bytes else self._files
        done = self.bytes_done if by_bytes else self.files_done
        first = self._first if by_bytes else self._first_files
        if not total or done - first < _EARLY * total or now - self._begun < _SHORTEST:
            return None
        return max(0.0, (total - done) * (now - self._begun) / (done - first))


def megabytes(size: int) -> str:
    """Return bytes in millions: `12.3`."""
    return f"{size / 1e6:,.1f}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: `45 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
