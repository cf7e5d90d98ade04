"""`hopyard file backup|snapshots|restore|verify|prune` from a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_file.backup.models import (
        BackupReport,
        PruneReport,
        RestoreReport,
        SnapshotLine,
        VerifyReport,
    )

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command("backup")
@click.argument("source", default="")
@_dry_run
@json_option
def backup(source: str, dry_run: bool, as_json: bool) -> None:
    """Have a worker back up a source, or all; status 1 where one failed."""

    async def work(hopyard: Hopyard) -> list[BackupReport]:
        found: list[BackupReport] = await submitted(
            hopyard, "file.backup_user_data", {"source": source, "dry_run": dry_run}, once=True
        )
        return found

    reports = with_hopyard(work)
    emit([one.model_dump(mode="json") for one in reports], as_json, lambda _: _render_backups(reports))
    sys.exit(1 if any(one.state != "ok" for one in reports) else 0)


def _render_backups(reports: list[BackupReport]) -> None:
    for one in reports:
        say(str(one.summary))
        for note in one.notes:
            say(f"  {note.path}: {note.what}")
        if one.state == "damaged":
            say(f"  the repository {one.repository} is damaged: hopyard file verify {one.repository}")


@click.command("snapshots")
@click.argument("source", default="")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="How many, the latest.")
@json_option
def snapshots(source: str, limit: int, as_json: bool) -> None:
    """List the snapshots of a source, or all, the oldest first."""
    from hopyard_file.backup.listing import snapshots as listed

    found = with_hopyard(lambda hopyard: listed(source, limit))
    emit([one.model_dump(mode="json") for one in found], as_json, lambda _: _render_snapshots(found))


def _render_snapshots(found: list[SnapshotLine]) -> None:
    table(
        "Snapshots",
        ("id", "source", "host", "begun (UTC)", "files", "bytes", "stored", "left out"),
        [
            (
                one.id,
                one.source,
                one.host,
                f"{one.started:%Y-%m-%d %H:%M}",
                one.files,
                one.bytes,
                "" if one.stored is None else one.stored,
                one.left_out,
            )
            for one in found
            if one.error is None
        ],
    )
    for one in found:
        if one.error is not None:
            say(f"{one.id} cannot be read, and may be of any source: {one.error}")


@click.command("restore")
@click.argument("source")
@click.argument("paths", nargs=-1)
@click.option("--to", "target", required=True, type=click.Path(file_okay=False), help="The directory.")
@click.option("--snapshot", default="latest", show_default=True, help="An id, or its beginning.")
@click.option("--replace", is_flag=True, help="Also over files that are there with another content.")
@click.option("--owners", is_flag=True, help="Give files to those who owned them (as root).")
@_dry_run
@json_option
def restore(
    source: str,
    paths: tuple[str, ...],
    target: str,
    snapshot: str,
    replace: bool,
    owners: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Restore all of a source, or PATHS in it (files and folders), into a directory, in this process.

    What is there already with the same content is left, and with another content unless --replace is given:
    a restore that was interrupted goes on when it is repeated. Status 1 where a file could not be restored.
    """
    from hopyard_file.backup.restoring import restore_from

    async def work(hopyard: Hopyard) -> RestoreReport:
        return await restore_from(
            source,
            target,
            paths,
            snapshot=snapshot,
            existing="replace" if replace else "keep",
            owners=owners,
            dry_run=dry_run,
        )

    report = with_hopyard(work)
    emit(report.model_dump(mode="json"), as_json, lambda _: _render_restored(report))
    sys.exit(1 if report.failed else 0)


def _render_restored(report: RestoreReport) -> None:
    say(str(report.summary))
    for note in report.notes:
        say(f"  {note.path}: {note.what}")


@click.command("verify")
@click.argument("repository", default="")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="How much of it.",
)
@json_option
def verify(repository: str, share: float, as_json: bool) -> None:
    """Have a worker read a repository back, or all; status 1 where one is damaged."""

    async def work(hopyard: Hopyard) -> list[VerifyReport]:
        found: list[VerifyReport] = await submitted(
            hopyard, "file.verify_backups", {"repository": repository, "share": share}, once=True
        )
        return found

    reports = with_hopyard(work)
    emit([one.model_dump(mode="json") for one in reports], as_json, lambda _: _render_verified(reports))
    sys.exit(0 if all(one.ok for one in reports) else 1)


def _render_verified(reports: list[VerifyReport]) -> None:
    for one in reports:
        say(str(one.summary))
        for wrong in one.wrong:
            say(f"  {wrong}")
        for line in one.damage:
            say(f"  {line.path or 'its list of files'} of {line.snapshot} ({line.source}): {line.reason}")


@click.command("prune")
@click.argument("repository", default="")
@_dry_run
@json_option
def prune(repository: str, dry_run: bool, as_json: bool) -> None:
    """Have a worker remove the snapshots that are past their retention, and what only they needed."""

    async def work(hopyard: Hopyard) -> list[PruneReport]:
        found: list[PruneReport] = await submitted(
            hopyard, "file.prune_backups", {"repository": repository, "dry_run": dry_run}, once=True
        )
        return found

    reports = with_hopyard(work)
    emit([one.model_dump(mode="json") for one in reports], as_json, lambda _: _render_pruned(reports))


def _render_pruned(reports: list[PruneReport]) -> None:
    for one in reports:
        say(str(one.summary))
        for id_ in one.removed:
            say(f"  {id_}: {'would go' if one.dry_run else 'gone'}")
        for id_, reasons in one.kept.items():
            say(f"  {id_}: stays ({', '.join(reasons)})")


COMMANDS: tuple[click.Command, ...] = (backup, snapshots, restore, verify, prune)
