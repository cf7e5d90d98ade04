"""Whether the machine kept up: how late a thread that sleeps briefly was woken."""

from __future__ import annotations

import threading
import time

_BEAT = 0.2
#: Seconds by which a wake-up is so late that no time limit means anything.
LATE = 2.0


class Heart:
    """A thread that notes each time at which it was woken late."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while True:
            begun = time.monotonic()
            if self._end.wait(_BEAT):
                return
            if time.monotonic() - begun > _BEAT + LATE:
                self._late.append(time.time())

    def note(self) -> None:
        """Note that everybody stands still now, for a reason of the suite's own."""
        self._late.append(time.time())

    def missed(self, since: float, until: float | None = None) -> bool:
        """Say whether the machine, or everybody on it, stood still between two moments (Unix seconds)."""
        until = time.time() if until is None else until
        return any(since <= at <= until + LATE for at in self._late)

    def end(self) -> None:
        """Stop beating."""
        self._end.set()
        self._thread.join(10)
