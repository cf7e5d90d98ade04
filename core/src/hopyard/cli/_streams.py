"""Standard output belongs to what a command says.

Whatever plugins print while it works goes to standard error, so that the output of `--json` is one document.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import TextIO

import click

from hopyard.display import printable

_stdout: ContextVar[TextIO | None] = ContextVar("hopyard_cli_stdout", default=None)


def stdout() -> TextIO:
    """Return standard output, also within `noise_to_stderr`."""
    return _stdout.get() or sys.stdout


def say(text: str, *, err: bool = False) -> None:
    """Print a text for people, with what a terminal would obey written out."""
    click.echo(printable(text), file=sys.stderr if err else stdout())


@contextmanager
def noise_to_stderr() -> Iterator[None]:
    """Within the block only what goes through `say`, `emit` and `table` reaches standard output."""
    token = _stdout.set(stdout())
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.reset(token)
