"""`hopyard queues`: how full they are; pausing and resuming them."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._names import check_queue
from hopyard.cli._options import ListingGroup
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._session import with_core, with_hopyard

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.group("queues", cls=ListingGroup)
def command() -> None:
    """List queues, pause and resume them."""


@command.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List queues with their live jobs by state."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.ledger import queues

        return await queues.overview(hopyard.client().database, hopyard.plugins.queues)

    emit(with_hopyard(work, diagnosis=True), as_json, _render)


def _render(rows: list[dict[str, Any]]) -> None:
    states = ("queued", "running", "retrying", "scheduled", "parked")
    table(
        "Queues",
        ("queue", *states, "oldest waits since (UTC)", "paused"),
        [
            (
                row["queue"],
                *(row[state] or "" for state in states),
                f"{row['oldest']:%Y-%m-%d %H:%M:%S}" if row["oldest"] else "",
                f"by {row['paused_by']}" if row["paused"] else "",
            )
            for row in rows
        ],
    )


@command.command("pause")
@click.argument("queue")
@click.option("--reason", help="Why, for those who ask later.")
def pause(queue: str, reason: str | None) -> None:
    """Start no more jobs of QUEUE, on any worker; what runs goes on."""

    async def work(hopyard: Hopyard) -> bool:
        from hopyard.ledger import queues

        by = f"{getpass.getuser()} ({reason})" if reason else getpass.getuser()
        await check_queue(hopyard, queue)
        return await queues.pause(hopyard.client().database, queue, by)

    say(f"{queue} is paused" if with_core(work) else f"{queue} was paused before")


@command.command("resume")
@click.argument("queue")
def resume(queue: str) -> None:
    """Let QUEUE go on."""

    async def work(hopyard: Hopyard) -> int:
        from hopyard.ledger import queues

        await check_queue(hopyard, queue)
        return await queues.resume(hopyard.client().database, queue) or 0

    say(f"{queue} goes on, {with_core(work)} jobs are brought to the workers again")
