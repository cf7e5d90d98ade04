"""`hopyard resources`: who holds what the installation has only so much of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._session import with_hopyard

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.command("resources")
@json_option
def command(as_json: bool) -> None:
    """Say how much of each resource there is, which jobs hold it, and how many wait for it."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.ledger import resources

        return await resources.overview(hopyard.client().database, hopyard.settings.resources)

    emit(with_hopyard(work, diagnosis=True), as_json, _render)


def _render(rows: list[dict[str, Any]]) -> None:
    if not rows:
        say("There are none: [resources] in hopyard.toml names what there is, such as `gpu = 2`.")
        return
    table(
        "Resources",
        ("resource", "held", "of", "jobs that wait", "held by"),
        [
            (
                row["resource"],
                row["held"],
                row["total"],
                row["waiting"] or "",
                ", ".join(f"{one['amount']} by {one['job']} ({one['task']})" for one in row["holders"]),
            )
            for row in rows
        ],
    )
