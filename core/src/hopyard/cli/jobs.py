"""`hopyard jobs`: what the ledger knows of jobs."""

from __future__ import annotations

import getpass
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._job_details import render
from hopyard.cli._names import check_queue, check_task
from hopyard.cli._options import ListingGroup
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._session import with_core
from hopyard.errors import UnknownJob
from hopyard.redaction import masked, named_secrets, without
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database
    from hopyard.ledger.deadletters import Filter

_STATES = [state.label for state in State]


@click.group("jobs", cls=ListingGroup)
def command() -> None:
    """List, show, cancel, replay and discard jobs."""


@command.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only these states.")
@click.option("--task", help="Only this task.")
@click.option("--queue", help="Only this queue.")
@click.option("--person", help="Only what is done for this person.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
def list_(
    states: tuple[str, ...] = (),
    task: str | None = None,
    queue: str | None = None,
    person: str | None = None,
    limit: int = 20,
    as_json: bool = False,
) -> None:
    """List jobs: first those that are not over, the newest first, then others, the latest first."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.ledger.read import listing

        wanted = listing.JobFilter(
            [State[label.upper()] for label in states], task=task, queue=queue, person=person
        )
        found = await listing.jobs(hopyard.client().database, wanted, limit=limit)
        if not found:
            await _check_names(hopyard, task, queue)
        return found

    emit(masked(with_core(work)), as_json, _render_list)


async def _check_names(hopyard: Hopyard, task: str | None, queue: str | None) -> None:
    """Raise UsageError where nothing was found, since nobody knows the task or the queue."""
    await check_task(hopyard, task)
    await check_queue(hopyard, queue)


def _render_list(rows: list[dict[str, Any]]) -> None:
    table(
        "Jobs",
        ("id", "task", "state", "attempt", "created (UTC)", "seconds", "what happened"),
        [
            (
                row["id"],
                row["task"],
                row["state"],
                row["attempt"],
                row["created"][:19].replace("T", " "),
                "" if row["seconds"] is None else f"{row['seconds']:.2f}",
                _happened(row),
            )
            for row in rows
        ],
        drop=("attempt", "seconds", "created (UTC)", "what happened"),
    )


def _happened(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['error'].get('kind')}: {row['error'].get('message')}"[:120]
    return (row["reason"] or "")[:120]


@command.command("show")
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:  # noqa: A002 - the argument's name on the command line
    """Show one job: arguments, result or error, every attempt, effects, progress and checkpoint."""

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        from hopyard.ledger import details
        from hopyard.ledger.finding import find_job

        database = hopyard.client().database
        return await details.job(database, await find_job(database, id))

    found = with_core(work)
    # By value, too: what an argument calls a password may stand anywhere else.
    emit(masked(without(found, named_secrets(found["arguments"]))), as_json, render)


@command.command("cancel")
@click.argument("ids", nargs=-1, required=True)
@click.option("--reason", default="cancelled on the command line", show_default=True)
@json_option
def cancel(ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel jobs: waiting ones at once, running ones through their worker."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.ledger import cancelling
        from hopyard.ledger.finding import find_job

        database = hopyard.client().database
        wanted = [await find_job(database, one) for one in ids]
        told = await cancelling.cancel(database, wanted, f"{reason} by {getpass.getuser()}")
        if not told:
            raise UnknownJob(f"none of these jobs is live: {', '.join(ids)}")
        return [{"id": one, "state": told[one].label if one in told else "not live"} for one in wanted]

    emit(
        with_core(work),
        as_json,
        lambda rows: table("", ("id", "state now"), [(row["id"], row["state"]) for row in rows]),
    )


def _filtered(function: Any) -> Any:
    """Add the options that choose dead jobs."""
    options = [
        click.option("--task", help="Dead jobs of this task."),
        click.option("--queue", help="Dead jobs of this queue."),
        click.option("--error", metavar="TEXT", help="Dead jobs whose error, as listed, has this text."),
        click.option("--all", "everything", is_flag=True, help="All dead jobs."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _filter(
    ids: tuple[str, ...], task: str | None, queue: str | None, error: str | None, everything: bool
) -> Filter:
    """Return which dead jobs are meant; `ids` are as typed yet."""
    from hopyard.ledger.deadletters import Filter

    some = (task, queue, error)
    if not (ids or any(some) or everything):
        raise click.UsageError("say which dead jobs: ids, --task, --queue, --error or --all")
    if "" in some:
        raise click.UsageError("--task, --queue and --error are given, but empty: which dead jobs?")
    return Filter(ids, task, queue, error)


async def _found(database: Database, wanted: Filter) -> Filter:
    """Return the filter with whole ids."""
    from hopyard.ledger.finding import find_job

    return replace(wanted, ids=[await find_job(database, one) for one in wanted.ids])


@command.command("replay")
@click.argument("ids", nargs=-1)
@_filtered
@click.option("--edit", "edits", multiple=True, metavar="NAME=VALUE", help="Change an argument.")
@json_option
def replay(
    ids: tuple[str, ...],
    task: str | None,
    queue: str | None,
    error: str | None,
    everything: bool,
    edits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Submit dead jobs again, each as a new job: `hopyard jobs replay ID --edit city=Oslo`."""
    from hopyard.cli._arguments import loose

    wanted = _filter(ids, task, queue, error, everything)
    changes = loose(edits)

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.ledger import deadletters

        def check(task: str, body: str) -> None:
            hopyard.task(task).payload.load_body(body)

        client, rows = hopyard.client(), list[dict[str, Any]]()
        batch = chosen = await _found(client.database, wanted)
        while jobs := await deadletters.replay(client.database, batch, changes, check=check):
            await client.announce([*jobs.values()])
            told = jobs if wanted.ids else jobs.new
            rows += [{"id": old, "replay": jobs[old].id, "task": jobs[old].task} for old in told]
            batch = replace(chosen, after=max(jobs))
            if len(jobs) < deadletters.BATCH:
                break
        if not rows:
            await _check_names(hopyard, task, queue)
        return rows

    emit(
        with_core(work),
        as_json,
        lambda rows: table("", ("dead", "replay", "task"), [tuple(row.values()) for row in rows]),
    )


@command.command("discard")
@click.argument("ids", nargs=-1)
@_filtered
@json_option
def discard(
    ids: tuple[str, ...],
    task: str | None,
    queue: str | None,
    error: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Remove dead jobs for good."""
    wanted = _filter(ids, task, queue, error, everything)

    async def work(hopyard: Hopyard) -> dict[str, int]:
        from hopyard.ledger import deadletters

        database = hopyard.client().database
        chosen = await _found(database, wanted)
        gone = total = await deadletters.discard(database, chosen)
        while gone == deadletters.BATCH:
            gone = await deadletters.discard(database, chosen)
            total += gone
        if not total:
            await _check_names(hopyard, task, queue)
        return {"discarded": total}

    emit(with_core(work), as_json, lambda answer: say(f"{answer['discarded']} discarded"))
