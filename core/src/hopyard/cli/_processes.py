"""Child processes of `hopyard worker` and `hopyard up`: this same program, with the same settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hopyard.cli._options import globals_of
from hopyard.supervise import ChildSpec, Supervisor

if TYPE_CHECKING:
    from hopyard.settings import Settings

#: On top of the workers' own grace time: for recording, and for Celery's shutdown.
_MARGIN = 10.0


def child(name: str, arguments: Sequence[str], *, grace: float, log: Path | None = None) -> ChildSpec:
    """Return `hopyard <arguments>` as a child, with the global options that this command was given."""
    given = globals_of(click.get_current_context(silent=True))
    options: list[str] = []
    if given.config is not None:
        options += ["--config", str(given.config.absolute())]
    if given.data is not None:
        options += ["--data", str(given.data.absolute())]
    for key, value in given.overrides.items():
        options += ["--set", f"{key}={value}"]
    return ChildSpec(name, [sys.executable, "-m", "hopyard.cli", *options, *arguments], grace=grace, log=log)


def worker_grace(settings: Settings) -> float:
    """Return how many seconds a worker may take to stop."""
    return settings.worker.grace + _MARGIN


def supervise(children: Sequence[ChildSpec]) -> None:
    """Keep children running until Ctrl-C or SIGTERM, telling each unexpected end on standard error."""
    Supervisor(children, on_exit=tell_exit).run()


def tell_exit(name: str, pid: int, returncode: int) -> None:
    """Say on standard error that a child ended, unless it ended well."""
    if returncode == 0:
        return
    how = f"signal {-returncode}" if returncode < 0 else f"status {returncode}"
    click.echo(f"{name} (pid {pid}) ended with {how}", err=True)
