"""What a process prints becomes lines of its log, what tasks print with their job."""

from __future__ import annotations

import atexit
import io
import json
import logging
import os
import sys
import threading
from typing import Final

from hopyard.display import to_json

_LONGEST: Final = 8_192  # characters without a line break that are kept waiting for one
_GOODBYE_SECONDS: Final = 1.0

log = logging.getLogger("hopyard.output")


class PrintedLines(io.TextIOBase):
    """Stands in for `sys.stdout` and `sys.stderr`: logs each line, in the job that printed it."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        self._descriptor = descriptor
        self._here = threading.local()
        self.buffer = io.FileIO(descriptor, "w", closefd=False)
        """For bytes, which go the descriptor's way."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for programs that inherit it."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Log the lines that are complete; keep the rest until it is."""
        waiting = getattr(self._here, "waiting", "") + text
        *lines, self._here.waiting = waiting.split("\n")
        if len(self._here.waiting) > _LONGEST:
            lines.append(self._here.waiting)
            self._here.waiting = ""
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        """Log what waits for its line break."""
        waiting, self._here.waiting = getattr(self._here, "waiting", ""), ""
        if waiting:
            self._log(waiting)

    def _log(self, line: str) -> None:
        if getattr(self._here, "logging", False):  # logging itself failed, and says so here
            os.write(self._descriptor, f"{line}\n".encode(errors="replace"))
            return
        self._here.logging = True
        try:
            log.info("%s", line, extra={"stream": self._name})
        finally:
            self._here.logging = False


def capture_prints() -> None:
    """Log from now on what Python code prints, whatever the log's level."""
    log.setLevel(logging.INFO)
    sys.stdout, sys.stderr = PrintedLines("stdout", 1), PrintedLines("stderr", 2)


def capture_descriptors() -> io.TextIOBase:
    """Log from now on what is written to descriptors 1 and 2 by whom Python does not know.

    Lines that are JSON objects with a `level` and a `message` are log lines of child processes: they are
    passed on. Returns what standard error was, for the log to be written to.
    """
    real = os.dup(2)
    reading, writing = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writing, descriptor)
    os.close(writing)
    stream = open(real, "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - for good
    thread = threading.Thread(target=_relay, args=(reading, stream), name="hopyard-output", daemon=True)
    thread.start()

    def end() -> None:
        """Let the thread see the end of what was written."""
        for descriptor in (1, 2):
            os.dup2(real, descriptor)
        thread.join(_GOODBYE_SECONDS)

    atexit.register(end)
    return stream


def _relay(reading: int, stream: io.TextIOBase) -> None:
    with open(reading, "rb") as lines:
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r\n")
            entry = _entry(text)
            if entry is None:
                log.info("%s", text, extra={"stream": "descriptor"})
            else:
                stream.write(f"{entry}\n")


def _entry(text: str) -> str | None:
    """Return a line that is a log line already, secrets masked; None for any other."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return to_json(found) if isinstance(found, dict) and {"level", "message"} <= found.keys() else None
