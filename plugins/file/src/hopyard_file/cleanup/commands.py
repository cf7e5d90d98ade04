"""`hopyard file clean`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_file.cleanup.models import TempCleanupReport


@click.command("clean")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be deleted on this machine, and delete nothing."
)
@click.option(
    "--confirm", type=click.IntRange(0), help="The number that is due: also if it is unusually much."
)
@json_option
def clean(dry_run: bool, confirm: int | None, as_json: bool) -> None:
    """Have a worker delete old temporary files; a dry run looks at this machine itself."""

    async def work(hopyard: Hopyard) -> Any:
        from hopyard_file.cleanup.running import clean as clean_up

        if dry_run:
            return await clean_up(None, dry_run=True, confirm=confirm)
        return await submitted(hopyard, "file.cleanup_temp_files", {"confirm": confirm})

    report: TempCleanupReport = with_hopyard(work)
    emit(report, as_json, _render)
    refused = [one for one in report.places if one.refused] if not report.dry_run else []
    if refused or any(one.problem for one in report.places):
        sys.exit(1)


def _render(report: TempCleanupReport) -> None:
    if report.places:
        table(
            f"Places on {report.host}",
            ("place", "files", "due", "bytes due", "deleted", "open", "directories", "troubles"),
            [
                (
                    *(
                        one.place,
                        one.matching,
                        one.due,
                        one.due_bytes,
                        one.deleted,
                        one.open,
                        one.directories,
                    ),
                    "; ".join(one.troubles),
                )
                for one in report.places
            ],
        )
    say(report.summary)


COMMANDS = (clean,)
