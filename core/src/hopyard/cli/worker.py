"""`hopyard worker`: one worker process or several, under a supervisor that restarts what dies."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from hopyard.cli import load_hopyard
from hopyard.errors import ConfigError


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
    import faulthandler

    from hopyard.monitor import logs
    from hopyard.supervise import FRESH, watch_leash

    watch_leash()
    faulthandler.enable()  # a segfault says where
    try:
        hopyard = load_hopyard("worker")
    except ConfigError:
        if os.environ.get(FRESH):  # its supervisor reads the same settings just now
            raise SystemExit(2) from None
        raise
    hopyard.plugins.check()
    logs.configure(hopyard.settings.log.level, hopyard.settings.log.format)
    from celery.utils.log import mlevel
    from celery.utils.nodenames import host_format

    # As `celery worker` does, without what its command line brings along (a tenth of a second, 10 MB).
    worker = hopyard.celery.Worker(
        hostname=host_format(f"{name}@%h"),
        loglevel=mlevel(hopyard.settings.log.level),
        queues=queues,
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    raise SystemExit(worker.exitcode)


def _supervise(queues: str | None, name: str, processes: int) -> None:
    from hopyard.cli import load_settings
    from hopyard.cli._processes import Keeper, child, worker_grace
    from hopyard.monitor.logs import LAST_WORDS

    # The first worker starts while the settings are read here: a quarter of the time until its first job.
    settings = cache(load_settings)
    some = ["--queues", queues] if queues else []
    names = [f"{name}-{n}" for n in range(1, processes + 1)]
    with TemporaryDirectory(prefix="hopyard-") as folder:
        words = {one: Path(folder) / f"{n}.log" for n, one in enumerate(names)}
        children = [
            child(
                one,
                ["worker", "--single", *some, "--name", one],
                grace=lambda: worker_grace(settings()),
                env={LAST_WORDS: str(words[one])},
            )
            for one in names
        ]
        Keeper(children, lambda: settings().ledger_url, words).run()
