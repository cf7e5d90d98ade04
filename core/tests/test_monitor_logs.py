"""Logs are one JSON object a line, with the job that they are about and without secrets."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hopyard.monitor.logs import LAST_WORDS, JsonFormatter, TextFormatter, configure
from hopyard.redaction import register
from hopyard.tasks.job import current_job


def record(message: str, *arguments: Any, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("site").makeRecord(
        "site", logging.WARNING, "f.py", 1, message, arguments, extra.pop("exc_info", None), extra=extra
    )


def lines(message: str, *arguments: Any, **extra: Any) -> dict[str, Any]:
    text = JsonFormatter().format(record(message, *arguments, **extra))
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture
def job() -> Iterator[None]:
    token = current_job.set(SimpleNamespace(id="0192-abcdefabcdef", task="site.echo", attempt=2))  # type: ignore[arg-type]
    yield
    current_job.reset(token)


def test_a_line_says_when_who_and_what() -> None:
    entry = lines(
        "%d of %s",
        1,
        "2",
        city="Ghent",
        odd={
            1,
        },
    )
    at = datetime.fromisoformat(entry.pop("time"))
    assert at.tzinfo is not None
    assert entry == {
        "level": "WARNING",
        "logger": "site",
        "message": "1 of 2",
        "city": "Ghent",
        "odd": "{1}",
    }


@pytest.mark.usefixtures("job")
def test_a_line_says_which_job_it_is_about() -> None:
    entry = lines("x")
    assert (entry["job"], entry["task"], entry["attempt"]) == ("0192-abcdefabcdef", "site.echo", 2)
    assert "[site.echo abcdefabcdef]: x" in TextFormatter().format(record("x"))


def test_outside_a_job_it_says_none() -> None:
    assert "job" not in lines("x")
    assert "site: x" in TextFormatter().format(record("x"))


def test_no_secret_is_logged() -> None:
    register('s3cret"quoted')
    for formatter in (JsonFormatter(), TextFormatter()):
        text = formatter.format(record('a s3cret"quoted and redis://:pa55word@host', found='s3cret"quoted'))
        assert "s3cret" not in text
        assert "pa55word" not in text
    assert lines('s3cret"quoted')["message"] == "***"


def test_an_exception_comes_with_its_traceback() -> None:
    try:
        raise ValueError("a bug")
    except ValueError:
        failed = sys.exc_info()
    assert 'raise ValueError("a bug")' in lines("x", exc_info=failed)["error"]
    assert TextFormatter().format(record("x", exc_info=failed)).endswith("ValueError: a bug")


@pytest.mark.parametrize(("style", "formatter"), [("json", JsonFormatter), ("text", TextFormatter)])
def test_the_style_is_chosen_by_the_settings(
    monkeypatch: pytest.MonkeyPatch, style: str, formatter: type[logging.Formatter]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging, "captureWarnings", lambda on: None)
    configure("ERROR", style)
    (handler,) = root.handlers
    assert isinstance(handler.formatter, formatter)
    assert root.level == logging.ERROR


def test_the_last_words_are_in_a_file_that_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds the process dead reads them there: each line is written at once."""
    monkeypatch.setenv(LAST_WORDS, str(tmp_path / "words"))
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        configure("INFO", "text")
        for n in range(300):
            logging.getLogger("site").info("line %d %s", n, "x" * 5000)
            words = (tmp_path / "words").read_bytes()
            assert b"line %d " % n in words.splitlines()[-1]
        assert len(words) < 250_000
        assert words.count(b"\n") >= 20
        assert LAST_WORDS not in os.environ, "children of this process have none"
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = before
        root.setLevel(level)
        logging.captureWarnings(False)
