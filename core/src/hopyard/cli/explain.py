"""`hopyard explain ID`: why a job is not running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._output import emit, json_option
from hopyard.cli._session import with_hopyard

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.command("explain")
@click.argument("id")
@json_option
def command(id: str, as_json: bool) -> None:  # noqa: A002 - the argument's name on the command line
    """Say why a job is where it is: paused, waiting, without a worker, running …"""

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        from hopyard.ledger.explaining import explain
        from hopyard.ledger.values import job_id

        return {"id": id, "reasons": await explain(hopyard.client().database, job_id(id))}

    emit(with_hopyard(work), as_json, lambda found: click.echo("\n".join(found["reasons"])))
