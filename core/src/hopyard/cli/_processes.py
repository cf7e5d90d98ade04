"""Child processes of `hopyard worker` and `hopyard up`: this same program, with the same settings."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._options import globals_of
from hopyard.supervise import GIVEN_UP, ChildSpec, Supervisor

if TYPE_CHECKING:
    from hopyard.settings import Settings
    from hopyard.supervise.supervisor import OnChange

_log = logging.getLogger("hopyard.cli")

#: On top of the workers' own grace time: for recording, and for Celery's shutdown.
_MARGIN = 10.0


def child(
    name: str,
    arguments: Sequence[str],
    *,
    grace: float | Callable[[], float],
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    fds: Sequence[int] = (),
) -> ChildSpec:
    """Return `hopyard <arguments>` as a child, with the global options that this command was given."""
    given = globals_of(click.get_current_context(silent=True))
    options: list[str] = []
    if given.config is not None:
        options += ["--config", str(given.config.absolute())]
    if given.data is not None:
        options += ["--data", str(given.data.absolute())]
    for key, value in given.overrides.items():
        options += ["--set", f"{key}={value}"]
    # -P: of the working directory nothing is imported but its hopfile.py.
    command = [sys.executable, "-P", "-m", "hopyard.cli", *options, *arguments]
    return ChildSpec(name, command, grace=grace, log=log, env=env or {}, fds=fds)


def worker_grace(settings: Settings) -> float:
    """Return how many seconds a worker may take to stop."""
    return settings.worker.grace + _MARGIN


class Keeper:
    """Keeps children running, and tells the ledger how each unexpected end came.

    The last words of a child are the end of its log, or of the file in `last_words` by its name.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        ledger_url: Callable[[], str],
        last_words: Mapping[str, Path] | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        self._ledger_url = ledger_url
        self._words = {spec.name: spec.log for spec in children} | dict(last_words or {})
        self._supervisor = Supervisor(children, on_exit=self._ended, on_change=on_change)

    def run(self) -> None:
        """As `Supervisor.run`, until Ctrl-C or SIGTERM; end this process once all have given up."""
        self._supervisor.run()
        if not self._supervisor.stopped:
            raise SystemExit(GIVEN_UP)

    def _ended(self, name: str, pid: int, returncode: int) -> None:
        if self._supervisor.stopping or returncode == GIVEN_UP:
            return
        from hopyard.ledger import crashes

        memory = next(status.memory for status in self._supervisor.status() if status.name == name)
        seen = crashes.evidence(returncode, memory, crashes.last_words(self._words.get(name)))
        # Not in this thread, which restarts the child: the ledger may be away.
        threading.Thread(target=self._record, args=(name, pid, seen), daemon=True).start()

    def _record(self, name: str, pid: int, seen: dict[str, Any]) -> None:
        from hopyard.ledger.crashes import witness
        from hopyard.ledger.database import open_database

        async def record() -> None:
            database = open_database(self._ledger_url())
            try:
                await witness(database, pid, seen)
            finally:
                await database.close()

        try:
            asyncio.run(record())
        except Exception as error:  # noqa: BLE001 - the evidence is lost, nothing else
            _log.warning("how %s (pid %d) ended is not recorded: %s", name, pid, error)
