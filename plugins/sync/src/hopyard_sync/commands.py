"""`hopyard sync …`: connections from a shell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click
from hopyard.cli import emit, json_option, say, table, with_hopyard

if TYPE_CHECKING:
    from hopyard_sync.models import Agenda, ConnectionStatus, Report, SetAside

T = TypeVar("T")


def _do(work: Callable[[], Awaitable[T]]) -> T:
    return with_hopyard(lambda hopyard: work())


@click.command("status")
@click.argument("name", required=False)
@json_option
@click.pass_context
def status(context: click.Context, name: str | None, as_json: bool) -> None:
    """Show where connections stand: last run, rows, conflicts, limits; status 1 where one needs a person."""
    from hopyard_sync.overview import statuses

    found = _do(lambda: statuses(name))
    emit([one.model_dump(mode="json") for one in found], as_json, lambda _: _render_status(found))
    context.exit(1 if any(one.state in ("failed", "held", "reconnect") for one in found) else 0)


def _render_status(found: list[ConnectionStatus]) -> None:
    table(
        "Connections",
        ("name", "kind", "person", "state", "last success", "rows", "last run", "set aside", "limits"),
        [
            (
                one.connection,
                one.kind,
                one.person or "",
                "running" if one.running else one.state,
                f"{one.succeeded:%Y-%m-%d %H:%M} UTC" if one.succeeded else "",
                one.rows,
                _last_run(one.last),
                one.set_aside,
                ", ".join(f"{name} {value}" for name, value in (one.last.quota if one.last else {}).items()),
            )
            for one in found
        ],
    )
    for one in found:
        if one.error:
            say(f"{one.connection}: {one.error}")


def _last_run(report: Report | None) -> str:
    if report is None:
        return ""
    text = f"+{report.added} ~{report.changed} -{report.removed}"
    return f"{text}, {report.conflicts} conflicts" if report.conflicts else text


@click.command("run")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Delete as many as it takes.")
@click.option("--full", is_flag=True, help="Read everything again, trusting no cursor.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=60.0, show_default=True, help="Seconds.")
@json_option
def run(name: str, dry_run: bool, force: bool, full: bool, wait: float, as_json: bool) -> None:
    """Sync a connection now, by a job, and show what it did."""
    from hopyard_sync.overview import run_now

    report, job = _do(lambda: run_now(name, dry_run=dry_run, force=force, full=full, wait=wait))
    if report is None:
        emit({"job": job}, as_json, lambda _: say(f"it goes on as job {job}: `hopyard jobs show {job}`"))
    else:
        made = report
        emit(made.model_dump(mode="json"), as_json, lambda _: _render_report(made))


def _render_report(report: Report) -> None:
    say(report.summary)
    for note in report.notes:
        say(f"  {note}")


@click.command("reconnect")
@click.argument("name")
@json_option
def reconnect(name: str, as_json: bool) -> None:
    """Try a connection's credentials again after they were refused, and let it run if they are taken."""
    from hopyard_sync.engine import runner

    _do(lambda: runner.reconnect(name))
    emit(
        {"connection": name, "connected": True},
        as_json,
        lambda _: say(f"{name} is connected again: `hopyard sync run {name}`, or wait for its schedule."),
    )


@click.command("problems")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def problems(name: str, limit: int, as_json: bool) -> None:
    """List what was set aside of a connection, each with the reason."""
    from hopyard_sync.engine import runner, state

    async def work() -> list[SetAside]:
        runner.find(name)
        return [*await state.set_aside(name, limit)]

    found = _do(work)
    emit(
        [one.model_dump(mode="json") for one in found],
        as_json,
        lambda _: table(
            "Set aside",
            ("at (UTC)", "stream", "what", "reason"),
            [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.stream, one.what, one.reason) for one in found],
        ),
    )


@click.command("events")
@click.option("--user", "-u", help="Whose calendars; everybody's unless given.")
@click.option("--start", default="", help="ISO 8601; today unless given.")
@click.option("--end", default="", help="ISO 8601; the end of that day unless given.")
@json_option
def events(user: str | None, start: str, end: str, as_json: bool) -> None:
    """List the events on calendars."""
    from hopyard_sync.calendars.agenda import agenda_of

    found = _do(lambda: agenda_of(user, start, end))
    emit(found.model_dump(mode="json"), as_json, lambda _: _render_events(found))


def _render_events(found: Agenda) -> None:
    table(
        f"Events ({found.zone})",
        ("start", "end", "title", "location", "calendar", "id"),
        [
            (
                f"{one.start:%Y-%m-%d}" if one.all_day else f"{one.start:%Y-%m-%d %H:%M}",
                f"{one.end:%Y-%m-%d}" if one.all_day else f"{one.end:%Y-%m-%d %H:%M}",
                one.title,
                one.location,
                one.calendar,
                one.id,
            )
            for one in found.events
        ],
    )
    for reason in found.left_out:
        say(reason)


COMMANDS = (status, run, reconnect, problems, events)
