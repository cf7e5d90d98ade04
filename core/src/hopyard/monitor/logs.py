"""Structured logs: one JSON object a line, with the job that it is about, and no secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from hopyard.redaction import redact

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


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
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return redact(json.dumps(entry, default=repr))


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        job = _job()
        about = f" [{job['task']} {job['job'][-12:]}]" if job else ""
        text = f"{at} {record.levelname:<7} {record.name}{about}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def configure(level: str, style: str) -> None:
    """Send all logs to standard error, as `json` or `text`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Its own log lines repeat what the ledger records.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.captureWarnings(True)
