"""`hopyard maintenance …` from a shell."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard

from hopyard_maintenance.keys_commands import keys

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_maintenance.models import CleanupReport, OptimizeReport

dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many."
)


class _Days(click.FloatRange):
    """A number of days, which `nan` and `inf` are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"found {value}, expected a number of days", param, ctx)
        return found


def _either(dry: Callable[[], Awaitable[Any]], task: str, dry_run: bool, **arguments: Any) -> Any:
    """Do a dry run here, or have a worker do the work."""

    async def work(hopyard: Hopyard) -> Any:
        return await dry() if dry_run else await submitted(hopyard, task, arguments, once=True)

    return with_hopyard(work)


@click.command("optimize")
@dry_run_option
@json_option
def optimize(dry_run: bool, as_json: bool) -> None:
    """Have a worker optimize the database, and tell what it gained."""
    from hopyard_maintenance.database.optimizing import plan

    report: OptimizeReport = _either(plan, "maintenance.optimize_database", dry_run)
    emit(report, as_json, _render_optimized)


def _render_optimized(report: OptimizeReport) -> None:
    if report.tables or report.indexes:
        rows: list[tuple[object, ...]] = [
            (one.table, ", ".join(one.done), one.bytes_before, one.bytes_after, one.dead_before, one.problem)
            for one in report.tables
        ]
        rows += [
            (one.index, one.done, one.bytes_before, one.bytes_after, None, one.problem)
            for one in report.indexes
        ]
        table("Tables and indexes", ("name", "done", "bytes before", "after", "dead rows", "problem"), rows)
    for step in report.done:
        say(f"  {step}")
    say(report.summary)


@click.command("clean")
@click.argument("what", type=click.Choice(["logs", "sessions", "records"]))
@dry_run_option
@click.option(
    "--confirm", type=click.IntRange(0), help="The number that is due: also if it is unusually much."
)
@click.option("--results-days", type=_Days(0), help="Of records: kept for so many days.")
@click.option("--progress-days", type=_Days(0), help="Of records: progress kept for so many days.")
@json_option
def clean(
    what: str,
    dry_run: bool,
    confirm: int | None,
    results_days: float | None,
    progress_days: float | None,
    as_json: bool,
) -> None:
    """Have a worker delete old logs, sessions or records of jobs; a dry run looks at this machine itself."""
    from hopyard_maintenance import cleanup, records

    arguments: dict[str, Any] = {"confirm": confirm}
    if what == "records":
        days = {"progress_days": progress_days, "results_days": results_days}
        report = _either(
            lambda: records.plan(progress_days, results_days),
            "maintenance.cleanup_task_records",
            dry_run,
            **arguments,
            **days,
        )
    elif results_days is not None or progress_days is not None:
        raise click.UsageError(f"--results-days and --progress-days are for records, not for {what}")
    else:
        look = cleanup.logs if what == "logs" else cleanup.sessions
        report = _either(
            lambda: look(None, dry_run=True, confirm=confirm),
            f"maintenance.cleanup_old_{what}",
            dry_run,
            **arguments,
        )
    emit(report, as_json, _render_cleanup)
    refused = [one.refused for one in (*report.places, *report.tables) if one.refused]
    if report.problems or (refused and not report.dry_run):
        sys.exit(1)


def _render_cleanup(report: CleanupReport) -> None:
    if report.places:
        table(
            f"Places on {report.host}",
            ("place", "files", "due", "bytes due", "deleted", "open", "troubles"),
            [
                (p.path, p.matching, p.due, p.due_bytes, p.deleted, p.open, "; ".join(p.troubles))
                for p in report.places
            ],
        )
    if report.tables:
        table(
            "Tables",
            ("table", "rows", "due", "deleted", "problem"),
            [(t.table, t.rows, t.due, t.deleted, t.problem) for t in report.tables],
        )
    say(report.summary)


@click.command("health")
@click.option("--history", is_flag=True, help="Earlier results and what changed, without checking.")
@limit_option
@json_option
def health(history: bool, limit: int, as_json: bool) -> None:
    """Check the health of everything, or show how it was."""
    from hopyard_maintenance import health as looking

    if history:

        async def read(hopyard: Hopyard) -> dict[str, Any]:
            return {"results": await looking.history(limit), "changes": await looking.changes(limit)}

        emit(with_hopyard(read), as_json, _render_health_history)
        return
    report = with_hopyard(lambda hopyard: submitted(hopyard, "maintenance.system_health_check", once=True))
    emit(report, as_json, _render_health)
    if not report.ok:
        sys.exit(1)


def _render_health(report: Any) -> None:
    rows = [
        (f"{one.plugin}.{one.name}", "ok" if one.ok else "not well", f"{one.seconds:.2f}", one.detail)
        for one in report.checks
    ]
    table("Checks", ("check", "state", "seconds", "detail"), rows)
    say(report.summary)


def _render_health_history(found: dict[str, Any]) -> None:
    table(
        "Results",
        ("at", "state", "summary"),
        [
            (one["checked_at"][:19], "ok" if one["ok"] else "not well", one["summary"])
            for one in found["results"]
        ],
    )
    table(
        "Changes",
        ("at", "what", "state", "detail"),
        [
            (f"{one['at']:%Y-%m-%d %H:%M:%S}", one["name"], "ok" if one["ok"] else "not well", one["detail"])
            for one in found["changes"]
        ],
    )


@click.command("usage")
@click.option("--history", is_flag=True, help="Earlier samples, without measuring.")
@click.option("--host", help="Samples of this machine only.")
@limit_option
@json_option
def usage(history: bool, host: str | None, limit: int, as_json: bool) -> None:
    """Measure the use of a worker's machine, or show how it was."""
    from hopyard_maintenance import usage as measuring

    if history:
        samples = with_hopyard(lambda hopyard: measuring.history(host, limit))
    else:
        sample = with_hopyard(
            lambda hopyard: submitted(hopyard, "maintenance.monitor_resource_usage", once=True)
        )
        samples = [sample.model_dump(mode="json")]
    emit(samples if history else samples[0], as_json, lambda _: _render_usage(samples))


def _render_usage(samples: list[dict[str, Any]]) -> None:
    table(
        "Use",
        ("at", "host", "CPU %", "memory %", "disks", "jobs", "warnings"),
        [
            (
                one["at"][:19],
                one.get("host"),
                one["cpu_percent"],
                one["memory_percent"],
                ", ".join(
                    f"{disk['path']} {'?' if disk.get('problem') else format(disk['percent'], 'g')} %"
                    for disk in one["disks"]
                ),
                sum(one["queues"].values()),
                "; ".join(one["warnings"]),
            )
            for one in samples
        ],
    )


COMMANDS = (optimize, clean, keys, health, usage)
