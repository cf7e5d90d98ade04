"""`hopyard file cloud status|sync|problems|forget` from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_file.cloud.models import CloudReport, CloudStatus, SetAside


@click.group("cloud")
def cloud() -> None:
    """Directories that are kept in step with clouds."""


@cloud.command("status")
@click.argument("name", required=False)
@json_option
@click.pass_context
def status(context: click.Context, name: str | None, as_json: bool) -> None:
    """Show where connections stand; status 1 where one failed or is held."""
    from hopyard_file.cloud.running import statuses

    found = with_hopyard(lambda hopyard: statuses(name))
    emit([one.model_dump(mode="json") for one in found], as_json, lambda _: _render_status(found))
    context.exit(1 if any(one.state in ("failed", "held") for one in found) else 0)


def _render_status(found: list[CloudStatus]) -> None:
    table(
        "Connections",
        ("name", "kind", "direction", "state", "last success", "files", "set aside"),
        [
            (
                one.connection,
                one.kind,
                one.direction,
                "running" if one.running else one.state,
                f"{one.succeeded:%Y-%m-%d %H:%M} UTC" if one.succeeded else "",
                one.files,
                one.set_aside,
            )
            for one in found
        ],
    )
    for one in found:
        if one.error:
            say(f"{one.connection}: {one.error}")


@cloud.command("sync")
@click.argument("name", default="")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Delete as many files as it takes.")
@json_option
@click.pass_context
def sync(context: click.Context, name: str, dry_run: bool, force: bool, as_json: bool) -> None:
    """Have a worker sync a connection, or all, and show what it did; status 1 where one failed."""

    async def work(hopyard: Hopyard) -> list[CloudReport]:
        arguments = {"connection": name, "dry_run": dry_run, "force": force}
        found: list[CloudReport] = await submitted(hopyard, "file.sync_cloud_storage", arguments, once=True)
        return found

    reports = with_hopyard(work)
    emit([one.model_dump(mode="json") for one in reports], as_json, lambda _: _render_reports(reports))
    context.exit(1 if any(one.state != "ok" or one.failed for one in reports) else 0)


def _render_reports(reports: list[CloudReport]) -> None:
    for one in reports:
        say(str(one.summary))
        for note in one.notes:
            say(f"  {note}")


@cloud.command("problems")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@json_option
def problems(name: str, limit: int, as_json: bool) -> None:
    """List the files of a connection that are no part of its sync, each with the reason."""
    from hopyard_file.cloud import running, state

    async def work() -> list[SetAside]:
        running.find(name)
        return [*await state.aside(name, limit)]

    found = with_hopyard(lambda hopyard: work())
    emit(
        [one.model_dump(mode="json") for one in found],
        as_json,
        lambda _: table("Set aside", ("path", "reason"), [(one.path, one.reason) for one in found]),
    )


@cloud.command("forget")
@click.argument("name")
@json_option
def forget(name: str, as_json: bool) -> None:
    """Forget what both sides had at the last sync: the next one compares all files, and deletes none."""
    from hopyard_file.cloud import running, state

    async def work() -> int:
        running.find(name)
        return await state.forget(name)

    files = with_hopyard(lambda hopyard: work())
    emit(
        {"connection": name, "files": files},
        as_json,
        lambda _: say(f"{files:,} files of {name} are forgotten: the next sync compares both sides."),
    )


COMMANDS: tuple[click.Command, ...] = (cloud,)
