"""`hopyard worker`: one worker process or several, under a supervisor that restarts what dies."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import click

from hopyard import portal
from hopyard.cli._context import load_hopyard
from hopyard.cli._roles import await_ledger, begin, ending_for_good
from hopyard.errors import ConfigError, HopyardError
from hopyard.supervise import GIVEN_UP

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.settings import Settings

_log = logging.getLogger("hopyard.cli")


@click.command("worker")
@click.option("-Q", "--queues", metavar="A,B", help="Queues to work on; all of them unless given.")
@click.option("-n", "--name", default="worker", show_default=True, help="What the worker is called.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="How many.")
@click.option("--single", is_flag=True, hidden=True, help="This is the process itself.")
def command(queues: str | None, name: str, processes: int, single: bool) -> None:
    """Run jobs. Ctrl-C once lets running jobs finish within the grace time."""
    if not single:
        _supervise(queues, name, processes)
        return
    _work(queues, name)


def _work(queues: str | None, name: str) -> None:
    """Be a worker's process."""
    import faulthandler

    from hopyard.supervise import FRESH, watch_parent

    watch_parent()
    crashes_to = os.dup(2)  # standard error itself: what a pipe holds is lost with the process
    faulthandler.enable(crashes_to)  # a segfault says where
    try:
        with ending_for_good():
            hopyard = load_hopyard("worker", before=begin)
            wanted = _checked(hopyard, queues)
            await_ledger(hopyard, portal.run)
    except ConfigError:
        if os.environ.get(FRESH):  # its supervisor reads the same settings just now
            raise SystemExit(GIVEN_UP) from None
        raise
    from celery.utils.log import mlevel
    from celery.utils.nodenames import host_format

    # As `celery worker` does, without what its command line brings along (a tenth of a second, 10 MB).
    worker = hopyard.celery.Worker(
        hostname=host_format(f"{name}@%h"),
        loglevel=mlevel(hopyard.settings.log.level),
        queues=wanted,
        without_mingle=True,
        without_gossip=True,
        quiet=hopyard.settings.log.format == "json",  # no banner
    )
    worker.start()
    raise SystemExit(worker.exitcode)


def _checked(hopyard: Hopyard, queues: str | None) -> str | None:
    """Return the queues to work on, each of which must be some plugin's. Raises for any other name.

    Those of an installed plugin that failed are left out with a warning.
    """
    if queues is None:
        return None
    known, failed = hopyard.plugins.queues, hopyard.plugins.withdrawn
    wanted = [name.strip() for name in queues.split(",") if name.strip()]
    mine = [name for name in wanted if name in known]
    for name in [name for name in wanted if name not in known]:
        owner = name.partition(".")[0]
        if owner in failed:
            _log.warning("queue %s is left out: plugin %s has failed", name, owner)
            continue
        close = get_close_matches(name, known, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(sorted(known))}"
        raise HopyardError(f"--queues: no enabled plugin declares the queue `{name}`: {hint}")
    if not mine:
        raise HopyardError(f"--queues {queues!r}: there is nothing to work on")
    return ",".join(mine)


def _supervise(queues: str | None, name: str, processes: int) -> None:
    from hopyard.cli._processes import Keeper, child, worker_grace
    from hopyard.monitor.logs import LAST_WORDS

    settings = cache(_settings)
    # The first worker starts while the settings are read here: a quarter of the time until its first job.
    some = ["--queues", queues] if queues is not None else []
    names = [f"{name}-{n}" for n in range(1, processes + 1)]
    with ExitStack() as stack:
        # Without names, so that none of them outlives whatever becomes of this process.
        words = {one: stack.enter_context(TemporaryFile(prefix="hopyard-")).fileno() for one in names}
        paths = {one: Path(f"/dev/fd/{descriptor}") for one, descriptor in words.items()}
        children = [
            child(
                one,
                ["worker", "--single", *some, "--name", one],
                grace=lambda: worker_grace(settings()),
                env={LAST_WORDS: str(paths[one])},
                fds=[words[one]],
            )
            for one in names
        ]
        Keeper(children, lambda: settings().ledger_url, paths).run()


def _settings() -> Settings:
    """Return the settings, by which the supervisor logs from then on."""
    from hopyard.cli import load_settings
    from hopyard.monitor import logs

    settings = load_settings()
    logs.configure(settings.log.level, settings.log.format)
    return settings
