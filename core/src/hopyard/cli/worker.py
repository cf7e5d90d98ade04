"""`hopyard worker`: one worker process or several, under a supervisor that restarts what dies."""

from __future__ import annotations

import click

from hopyard.cli import load_hopyard


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
    from hopyard.monitor import logs
    from hopyard.supervise.leash import watch_leash

    watch_leash()
    hopyard = load_hopyard("worker")
    hopyard.plugins.check()
    logs.configure(hopyard.settings.log.level, hopyard.settings.log.format)
    hopyard.celery.worker_main(
        [
            "worker",
            "--hostname",
            f"{name}@%h",
            "--loglevel",
            hopyard.settings.log.level,
            "--without-mingle",
            "--without-gossip",
            *(["--queues", queues] if queues else []),
        ]
    )


def _supervise(queues: str | None, name: str, processes: int) -> None:
    from hopyard.cli import load_settings
    from hopyard.cli._processes import child, supervise, worker_grace

    grace = worker_grace(load_settings())
    some = ["--queues", queues] if queues else []
    names = [f"{name}-{n}" for n in range(1, processes + 1)]
    supervise([child(one, ["worker", "--single", *some, "--name", one], grace=grace) for one in names])
