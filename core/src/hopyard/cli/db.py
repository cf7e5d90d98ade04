"""`hopyard db`: the ledger's tables."""

from __future__ import annotations

import asyncio

import click

from hopyard.cli._context import load_hopyard
from hopyard.cli._output import emit, json_option, say, table


@click.group("db")
def command() -> None:
    """Create and upgrade the database."""


@command.command("upgrade")
@json_option
@click.pass_context
def upgrade(context: click.Context, as_json: bool) -> None:
    """Bring the tables of the core and of every plugin up to date. Status 1 if a plugin's failed."""
    done = asyncio.run(load_hopyard().upgrade())
    rows = [
        {
            "owner": owner,
            "before": one.before,
            "after": one.after,
            "error": str(one.error) if one.error else None,
        }
        for owner, one in done.items()
    ]
    emit(rows, as_json, _render)
    context.exit(1 if any(row["error"] for row in rows) else 0)


def _render(rows: list[dict[str, str | None]]) -> None:
    table(
        "Migrations",
        ("owner", "before", "after"),
        [(row["owner"], row["before"] or "nothing", row["after"] or "as before: it failed") for row in rows],
    )
    for row in rows:
        if row["error"]:
            say(f"Error: {row['error']}", err=True)
