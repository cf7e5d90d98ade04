"""What commands print: text, tables, JSON and progress. All of it goes through `hopyard.display`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click

from hopyard.cli._streams import noise_to_stderr, say, stdout
from hopyard.cli._table import table
from hopyard.display import plain, printable, to_json
from hopyard.redaction import masked

__all__ = ["emit", "json_option", "noise_to_stderr", "progress", "say", "stdout", "table"]

Data = TypeVar("Data")
Command = TypeVar("Command", bound="Callable[..., Any]")


class Report(Protocol):
    """Tells how much is done, and what is being done."""

    def __call__(self, done: float, text: str = "") -> None: ...


def json_option(command: Command) -> Command:
    """Give a command the option `--json`, as its argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def emit(data: Data, as_json: bool, render: Callable[[Data], None], *, mask_names: bool = True) -> None:
    """Print `data` as one JSON document on standard output, or have `render` print it for people.

    Dataclasses, pydantic models, paths, times, enums and sets may be in it anywhere. Values under names such
    as `password` are masked, unless `mask_names` is False. Raises TypeError for what has no JSON form.
    """
    if not as_json:
        render(data)
        return
    values: Any = plain(data)
    click.echo(to_json(masked(values) if mask_names else values, indent=2), file=stdout())


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Report]:
    """A progress bar on standard error; call what it gives with how much is done and a text.

    Where standard error is no terminal, each new text is a line.
    """
    if not sys.stderr.isatty():
        yield _line_printer(description, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    text_column = TextColumn("{task.description}", markup=False)
    columns = (text_column, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_line(description), total=total)

        def report(done: float, text: str = "") -> None:
            bar.update(task, completed=done, description=_line(text or description))

        yield report


def _line(text: str) -> str:
    """Return a text as one line that leaves room for the bar."""
    line = " ".join(printable(text).split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _line_printer(description: str, total: float | None) -> Report:
    last = ""

    def report(done: float, text: str = "") -> None:
        nonlocal last
        line = text or description
        if line != last:
            share = f" {done:g}/{total:g}" if total else ""
            say(f"{line}{share}", err=True)
            last = line

    return report
