"""`hopyard beat`: the scheduler. Any number may run; one fires."""

from __future__ import annotations

import asyncio
import signal

import click

from hopyard.cli._context import load_hopyard
from hopyard.cli._roles import await_ledger, begin, ending_for_good


@click.command("beat")
def command() -> None:
    """Submit what is scheduled. Several may run: one leads, another takes over when it dies."""
    from hopyard.supervise.parent import watch_parent

    watch_parent()
    with ending_for_good():
        hopyard = load_hopyard("beat", before=begin)
        await_ledger(hopyard)
    hopyard.plugins.start_process("beat")
    asyncio.run(_run())
    hopyard.plugins.stop_process("beat")


async def _run() -> None:
    from hopyard.app import Hopyard
    from hopyard.schedule.scheduler import Scheduler

    hopyard = Hopyard.current()
    await hopyard.check_migrations()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    scheduler = Scheduler(hopyard)
    while not stop.is_set():
        pause = await scheduler.tick()
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue
    await scheduler.resign()
    await hopyard.close()
