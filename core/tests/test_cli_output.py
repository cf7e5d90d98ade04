"""What commands print: JSON, tables and progress."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import hopyard.cli
import pytest
from hopyard.cli._output import emit, noise_to_stderr, progress, say, table
from hopyard.loading import PluginState
from pydantic import SecretStr


@dataclass(frozen=True)
class Row:
    state: PluginState
    when: datetime
    where: Path
    names: frozenset[str]
    key: SecretStr


def never(data: object) -> None:
    pytest.fail("JSON was asked for")


def test_json_is_one_document_of_plain_values_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    row = Row(
        PluginState.ENABLED, datetime(2026, 1, 2, tzinfo=UTC), Path("a/b"), frozenset("ba"), SecretStr("k")
    )
    emit([row, "redis://u:hidden@h"], True, never)
    assert json.loads(capsys.readouterr().out) == [
        {
            "state": "enabled",
            "when": "2026-01-02T00:00:00+00:00",
            "where": "a/b",
            "names": ["a", "b"],
            "key": "***",
        },
        "redis://u:***@h",
    ]


def test_what_has_no_json_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        emit(object(), True, never)


def test_for_people_the_data_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    emit(
        3,
        False,
        lambda data: table("Numbers", ("number", "note"), [(data, "[bold]w[/]"), (None, "word " * 20)]),
    )
    text = capsys.readouterr().out
    assert "[bold]w[/]" in text, "text of a cell is not markup"
    assert "word " * 20 in text, "a pipe is wide enough"


def test_progress_without_a_terminal_is_a_line_per_text(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("copying", 3) as report:
        report(1)
        report(2)
        report(3, "done")
    assert capsys.readouterr().err == "copying 1/3\ndone 3/3\n"


def test_values_under_secret_names_are_masked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    emit({"password": "hunter22"}, True, never)
    assert json.loads(capsys.readouterr().out) == {"password": "***"}
    schema = {"properties": {"password": {"type": "string"}}}
    emit(schema, True, never, mask_names=False)
    assert json.loads(capsys.readouterr().out) == schema


def test_noise_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with noise_to_stderr():
        print("noise")  # noqa: T201 - as a plugin might
        emit([1], True, never)
        say("said \x1b[31m")
        table("", ("a",), [("cell",)])
    told = capsys.readouterr()
    assert told.err == "noise\n"
    assert told.out.startswith("[\n  1\n]\nsaid \\x1b[31m\na")


def test_a_progress_bar_shows_its_text_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("[/x]", 2) as report:
        report(1, "[/y] \x1b]0;owned\x07")
    assert "\x07" not in terminal.getvalue()


def test_commands_print_through_one_function() -> None:
    """What comes from outside must not reach the terminal as it is."""
    folder = Path(hopyard.cli.__file__).parent
    allowed = {"_streams.py", "_output.py", "_table.py"}
    printing = re.compile(r"click\.(echo|secho)\(|^\s*print\(", re.MULTILINE).search
    files = [path for path in folder.rglob("*.py") if path.name not in allowed]
    found = [str(path.relative_to(folder)) for path in files if printing(path.read_text())]
    assert found == []
