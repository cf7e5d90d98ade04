"""`hopyard explain ID`: why a job is not running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._output import emit, json_option, say
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
        from hopyard.ledger.finding import find_job

        database = hopyard.client().database
        pools = {name: task.runs_in for name, task in hopyard.tasks.items()}
        if key is not None:
            return {"key": key, "reasons": await explaining.explain_key(database, key, pools)}
        found = await find_job(database, str(id))
        return {"id": found, "reasons": await explaining.explain(database, found, pools)}

    emit(with_hopyard(work, diagnosis=True), as_json, lambda found: say("\n".join(found["reasons"])))
