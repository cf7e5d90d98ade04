"""Structured logs: one JSON object a line, with the job that it is about, and no secrets."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

from hopyard.display import printable, to_json
from hopyard.monitor.capture import capture_descriptors, capture_prints

LAST_WORDS: Final = "HOPYARD_INTERNAL_LAST_WORDS"
"""Environment variable with the path of the file for `LastWords`."""
_FILE_BYTES: Final = 100_000
_LINE_BYTES: Final = 2_000

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


_PLAIN = (type(None), bool, int, float, str, list, dict)


def _said(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the line is about something else
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _job() -> dict[str, Any]:
    module = sys.modules.get("hopyard.tasks.job")  # a process that runs no jobs has not loaded it
    job = module.current_job.get() if module else None
    return {} if job is None else {"job": job.id, "task": job.task, "attempt": job.attempt}


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, then `job`, `task` and `attempt` inside a job, then extras."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_job(),
        }
        extras = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        entry |= {key: value if isinstance(value, _PLAIN) else _said(value) for key, value in extras.items()}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return to_json(entry, other=_said)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        job = _job()
        about = f" [{job['task']} {job['job'][-12:]}]" if job else ""
        text = f"{at} {record.levelname:<7} {record.name}{about}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return printable(text)


class LastWords(logging.Handler):
    """Keeps the last lines in a small file, where who finds this process dead can read them.

    What was written is the kernel's at once: it outlives a kill.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = open(path, "wb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115 - for as long as the process lives
        self._lines: deque[bytes] = deque(maxlen=50)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; begin anew with those kept where the file has grown."""
        try:
            line = self.format(record).encode(errors="replace")[:_LINE_BYTES] + b"\n"
            self._lines.append(line)
            if self._file.tell() > _FILE_BYTES:
                self._file.seek(0)
                self._file.truncate()
                line = b"".join(self._lines)
            self._file.write(line)
        except Exception:  # noqa: BLE001 - as every handler: logging must not fail
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def configure(level: str, style: str, *, prints: bool = False, descriptors: bool = False) -> None:
    """Send all logs to standard error, as `json` or `text`; to where the supervisor wants them, too.

    With `prints` what Python code prints is logged as well. With `descriptors` so is, where the style is
    `json`, all else that is written to standard output and error: each line is JSON then.
    """
    root = logging.getLogger()
    stream = capture_descriptors() if descriptors and style == "json" else sys.stderr
    root.handlers = [logging.StreamHandler(stream)]
    if prints:
        capture_prints()
    last_words = os.environ.pop(LAST_WORDS, None)
    if last_words is not None:
        root.handlers.append(LastWords(last_words))
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root.setLevel(level)
    # Its own log lines repeat what the ledger records; Alembic's tell of each step of its own.
    for name in ("celery.worker.strategy", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
