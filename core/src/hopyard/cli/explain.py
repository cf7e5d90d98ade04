"""`hopyard explain ID`: why a job is not running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._output import emit, json_option
from hopyard.cli._session import with_hopyard

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.command("explain")
@click.argument("id", required=False)
@click.option("--key", help="Explain the job that holds this unique key.")
@json_option
def command(id: str | None, key: str | None, as_json: bool) -> None:  # noqa: A002 - the argument's name on the command line
    """Say why a job is where it is: paused, waiting, without a worker, running …"""
    if (id is None) == (key is None):
        raise click.UsageError("say either the job's ID or --key KEY")

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        from hopyard.ledger import explaining
        from hopyard.ledger.values import job_id

        database = hopyard.client().database
        pools = {name: task.runs_in for name, task in hopyard.tasks.items()}
        if key is not None:
            return {"key": key, "reasons": await explaining.explain_key(database, key, pools)}
        return {"id": id, "reasons": await explaining.explain(database, job_id(str(id)), pools)}

    emit(with_hopyard(work), as_json, lambda found: click.echo("\n".join(found["reasons"])))
