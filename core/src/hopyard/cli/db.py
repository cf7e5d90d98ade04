"""`hopyard db`: the ledger's tables."""

from __future__ import annotations

import asyncio

import click

from hopyard.cli import load_hopyard
from hopyard.cli._output import emit, json_option, table


@click.group("db")
def command() -> None:
    """Create and upgrade the database."""


@command.command("upgrade")
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the tables of the core and of every plugin up to date."""
    done = asyncio.run(load_hopyard().upgrade())
    rows = [{"owner": owner, "before": before, "after": after} for owner, (before, after) in done.items()]
    emit(
        rows,
        as_json,
        lambda rows: table(
            "Migrations",
            ("owner", "before", "after"),
            [(row["owner"], row["before"] or "nothing", row["after"]) for row in rows],
        ),
    )
