"""What commands print: tables, progress and JSON. Secrets are redacted in all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any, Protocol, TypeVar
from uuid import UUID

import click

from hopyard.redaction import MASK, redact

Data = TypeVar("Data")


class Report(Protocol):
    """Tells how much is done, and what is being done."""

    def __call__(self, done: float, text: str = "") -> None: ...


PIPE_WIDTH = 200  # columns where the output is no terminal: wide enough that a word is not broken

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def emit(data: Data, as_json: bool, render: Callable[[Data], None]) -> None:
    """Print `data` as one JSON document on standard output, or have `render` print it for people.

    Dataclasses, pydantic models, paths, times, enums and sets may be in it anywhere. Raises TypeError for
    what has no JSON form.
    """
    if as_json:
        click.echo(redact(json.dumps(data, ensure_ascii=False, indent=2, default=_plain)))
    else:
        render(data)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; None is an empty cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text("" if cell is None else redact(str(cell))) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(grid)


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

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def report(done: float, text: str = "") -> None:
            bar.update(task, completed=done, description=redact(text or description))

        yield report


def _line_printer(description: str, total: float | None) -> Report:
    last = ""

    def report(done: float, text: str = "") -> None:
        nonlocal last
        line = redact(text or description)
        if line != last:
            share = f" {done:g}/{total:g}" if total else ""
            click.echo(f"{line}{share}", err=True)
            last = line

    return report


def _plain(value: Any) -> Any:
    """The JSON form of what `json` does not know."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath | UUID):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "get_secret_value"):
        return MASK
    raise TypeError(f"{type(value).__name__} has no JSON form")
