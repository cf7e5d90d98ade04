"""Whatever is typed, a command ends in order: status 0, 1 or 2, a few lines, no traceback."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hopyard import current
from hopyard.app import Hopyard
from hopyard.cli import COMMANDS, main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HOPFILE = """
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task

@task("site.echo")
async def echo(text: str = "", n: int = 0, many: list[int] = [], fast: bool = False, data: dict = {}) -> str:
    return text

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self):
        return [Queue("site")]

    @hookimpl
    def register_tasks(self):
        return [echo]
"""

#: Commands that go on for ever when nothing is wrong with their options.
ENDLESS = {"up", "worker", "beat", "demo"}

VALUES = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                " ",
                "-",
                "--",
                "--help",
                "-1",
                "0",
                "nan",
                "inf",
                "-inf",
                "1e999",
                "9" * 5000,
                "0x10",
                "NULL",
            ),
            *("\0", "a\0b", "\udcff", "\ud800", "\x1b[31m", "[/x]", "a" * 100_000, "[" * 5000, "{", '{"a":'),
            *(
                "../../..",
                "/",
                "~",
                "%s%n",
                "' OR 1=1 --",
                "61 * * * *",
                "*/90 * * * *",
                "FREQ=",
                "2x",
                "Mars/X",
            ),
            *(
                "FREQ=DAILY;UNTIL=19990101T000000Z",
                "9" * 400 + "s",
                "1e5",
                "a=b",
                "=",
                "log.level",
                "log.level=[",
            ),
            *("plugins.site.enabled=false", "database_url=nonsense", "broker_url=x://y", "\u202e", "\x9b2J"),
        ]
    ),
    st.text(st.characters(), max_size=20),
    st.integers().map(str),
    st.floats().map(str),
)


def leaves(
    group: click.Group, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from leaves(found, (*words, name))
        elif found is not None:
            yield (*words, name), found


def commands() -> list[tuple[tuple[str, ...], click.Command]]:
    found = []  # type: ignore[var-annotated]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        found += leaves(command, (name,)) if isinstance(command, click.Group) else [((name,), command)]
    return found


OPTIONS = [
    (words, parameter)
    for words, command in commands()
    for parameter in command.params
    if isinstance(parameter, click.Option) and not parameter.is_flag and words[0] not in ENDLESS
]
WITH_ARGUMENTS = [
    (words, sum(isinstance(parameter, click.Argument) for parameter in command.params))
    for words, command in commands()
    if any(isinstance(parameter, click.Argument) for parameter in command.params)
]


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a ledger and a plugin, and nothing that runs."""
    folder, before = tmp_path_factory.mktemp("hostile"), Path.cwd()
    environment = {name: value for name, value in os.environ.items() if name.startswith("HOPYARD_")}
    for name in environment:
        del os.environ[name]
    os.chdir(folder)
    try:
        (folder / "hopfile.py").write_text(HOPFILE)
        (folder / "hopyard.toml").write_text('broker_url = "memory://"\n[plugins]\nallow = ["site"]\n')
        asyncio.run(Hopyard.load().upgrade())
        yield folder
    finally:
        os.chdir(before)
        os.environ.update(environment)
        current.set_instance(None)
        sys.modules.pop("hopfile", None)


def ends_in_order(*words: str) -> None:
    try:
        result = CliRunner().invoke(main, list(words))
    finally:
        current.set_instance(None)
    said = f"{words!r:.500}\n{result.output[-3000:]}"
    assert result.exception is None or isinstance(result.exception, SystemExit), said
    assert result.exit_code in (0, 1, 2), said
    assert "Traceback" not in result.output, said
    assert not [c for c in result.output if c not in "\n\t" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0)], (
        said
    )
    if result.exit_code and not result.stderr.startswith(("Usage", "1 fault", "2 faults")):
        assert len(result.stderr.splitlines()) <= 5, said
        assert len(result.stderr) < 6000, said


quickly = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quickly
@given(st.sampled_from(OPTIONS), VALUES)
def test_any_option_may_have_any_value(option: tuple[tuple[str, ...], click.Option], value: str) -> None:
    words, parameter = option
    for arguments in ((), ("x",), ("x", "site.echo")):
        ends_in_order(*words, f"{parameter.opts[0]}={value}", *arguments)


@quickly
@given(st.sampled_from(WITH_ARGUMENTS), st.lists(VALUES, min_size=1, max_size=3))
def test_any_argument_may_be_anything(command: tuple[tuple[str, ...], int], values: list[str]) -> None:
    ends_in_order(*command[0], *values)


@quickly
@given(st.sampled_from(["text", "n", "many", "fast", "data", "none", "no-fast"]), VALUES)
def test_any_argument_of_a_task_may_be_anything(name: str, value: str) -> None:
    ends_in_order("run", "--detach", "site.echo", f"--{name}={value}")
    ends_in_order("run", "--detach", "site.echo", f"--{name}", value)
    ends_in_order("schedule", "add", "s", "site.echo", "--every", "1h", "--replace", "--", f"--{name}", value)


@pytest.mark.parametrize(
    "words",
    [
        ("schedule", "add", "x", "site.echo", "--every", "2x"),
        ("schedule", "add", "x", "site.echo", "--every", "a" * 100_000),
        ("schedule", "add", "x", "site.echo", "--cron", "61 * * * *"),
        ("schedule", "add", "x", "site.echo", "--every", "1h", "--zone", "Mars/X"),
        ("schedule", "add", "x", "site.echo"),
        ("schedule", "add", "x", "site.echo", "--every", "0"),
        ("schedule", "add", "x", "site.ecoh", "--every", "1h"),
        *(("schedule", verb, "nope") for verb in ("enable", "disable", "delete")),
        ("schedule", "edit", "nope", "--every", "1h"),
        ("jobs", "show", "deadbeef"),
        ("explain", "deadbeef"),
        ("jobs", "cancel", "01a2243e-d05c-7678-8616-f31395a2a39d"),
        *(("jobs", verb, "deadbeef") for verb in ("cancel", "replay", "discard")),
        *(("jobs", verb, "--task", "site.ecoh") for verb in ("list", "replay", "discard")),
        *(("jobs", verb, "--queue", "sit") for verb in ("list", "replay", "discard")),
        ("queues", "resume", "sit"),
        ("set-aside", "discard", "nothing"),
        ("jobs", "cancel", "x", "--reason", "\udcff"),
        ("jobs", "list", "--limit", "9" * 500),
        ("run", "--timeout", "nan", "site.echo"),
        ("run", "site.echo", "--n", "many"),
        ("run", "site.eco"),
        ("queues", "pause", "sit"),
        ("jobs", "discard", "--error", ""),
        ("worker", "--processes", "0"),
        ("worker", "--processes", "many"),
        ("--data", "", "jobs"),
        ("--config", "a\0b", "jobs"),
    ],
    ids=lambda words: " ".join(words)[:40].encode(errors="replace").decode(),
)
def test_what_cannot_be_used_ends_with_2_and_a_line(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: "), result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert len(result.stderr) < 1500
    if {"site.ecoh", "sit"} & {*words}:
        assert "did you mean `site" in result.stderr
