"""`hopyard set-aside`: what could not be dealt with, so that the rest went on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._options import ListingGroup
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._session import with_core

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.group("set-aside", cls=ListingGroup)
def command() -> None:
    """List and discard messages, follow-ups and schedules that were set aside."""


@command.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List what was set aside, the latest first."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.ledger import set_aside

        return await set_aside.latest(hopyard.client().database)

    emit(with_core(work), as_json, _render)


def _render(rows: list[dict[str, Any]]) -> None:
    table(
        "Set aside",
        ("kind", "what", "times", "last (UTC)", "reason"),
        [
            (row["kind"], row["target"], row["times"], f"{row['last']:%Y-%m-%d %H:%M:%S}", row["reason"])
            for row in rows
        ],
    )


@command.command("discard")
@click.argument("what", required=False)
@click.option("--all", "everything", is_flag=True, help="Discard all that was set aside.")
def discard(what: str | None, everything: bool) -> None:
    """Forget WHAT was set aside, once it is mended or not wanted."""
    if (what is None) != everything:
        raise click.UsageError("name what to discard, as `hopyard set-aside` lists it, or give --all")

    async def work(hopyard: Hopyard) -> int:
        from hopyard.ledger import set_aside

        return await set_aside.discard(hopyard.client().database, what)

    gone = with_core(work)
    if not gone and what is not None:
        raise click.UsageError(f"nothing was set aside as {what}")
    say(f"{gone} discarded")
