"""Work for the thread that owns the broker connection, handed over by other threads."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger("hopyard.engine")


class MainThread:
    """Celery's hub sleeps up to a second: a byte in a pipe wakes it for what waits here."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def attach(self, hub: Any) -> None:
        """Let the hub watch the pipe."""
        hub.add_reader(self._read, self.run_waiting)

    def soon(self, call: Callable[[], object]) -> None:
        """Run `call` in the main thread as soon as it is free. From any thread."""
        self._calls.append(call)
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def run_waiting(self) -> None:
        """Run what waits, in the main thread."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 65536)
        while self._calls:
            call = self._calls.popleft()
            try:
                call()
            except Exception:
                log.exception("a call into the broker's thread failed")
