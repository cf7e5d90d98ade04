"""`hopyard schedule`: what is submitted when, and changing it while it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._output import emit, json_option, table
from hopyard.cli._session import with_hopyard
from hopyard.errors import ScheduleError

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.schedule.store import Stored
    from hopyard.specs import Rule


@click.group("schedule", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List and change schedules."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List all schedules with their next due time."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.schedule import store

        async with hopyard.client().database.transaction() as tx:
            return [_describe(stored) for stored in await store.listed(tx)]

    emit(with_hopyard(work), as_json, _render)


def _describe(stored: Stored) -> dict[str, Any]:
    from hopyard.schedule import rules

    schedule = stored.schedule
    return {
        "name": schedule.name,
        "task": schedule.task,
        "rule": rules.to_json(schedule.rule),
        "when": rules.describe(schedule.rule),
        "zone": schedule.rule.zone,
        "enabled": schedule.enabled,
        "source": stored.source,
        "edited": stored.edited,
        "person": stored.person,
        "misfire": schedule.misfire,
        "overlap": schedule.overlap,
        "next_due": stored.next_due,
        "last_due": stored.last_due,
        "kwargs": dict(schedule.kwargs),
    }


def _render(rows: list[dict[str, Any]]) -> None:
    table(
        "Schedules",
        ("name", "when", "next due", "source", "person"),
        [
            (
                row["name"],
                row["when"],
                _local(row) if row["enabled"] else "disabled",
                row["source"] + (" (edited)" if row["edited"] else ""),
                row["person"],
            )
            for row in rows
        ],
    )


def _local(row: dict[str, Any]) -> str:
    from zoneinfo import ZoneInfo

    due = row["next_due"]
    return f"{due.astimezone(ZoneInfo(row['zone'])):%Y-%m-%d %H:%M:%S} {row['zone']}" if due else "never"


def _rule(every: str | None, cron: str | None, rrule: str | None, zone: str) -> Rule | None:
    from hopyard.settings import duration
    from hopyard.specs import Rule

    given = [value for value in (every, cron, rrule) if value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ScheduleError("give one of --every, --cron and --rrule")
    if every is not None:
        return Rule(every=duration(every), zone=zone)
    return Rule(cron=cron, zone=zone) if cron is not None else Rule(rrule=rrule, zone=zone)


_rule_options = [
    click.option("--every", metavar="30s|2m|1h", help="An interval."),
    click.option("--cron", metavar="'0 8 * * 1-5'", help="Five cron fields, or @daily and the like."),
    click.option("--rrule", metavar="FREQ=…", help="An RFC 5545 rule."),
    click.option("--zone", default="UTC", show_default=True, help="IANA time zone."),
]


def _with_rule(function: Any) -> Any:
    for option in reversed(_rule_options):
        function = option(function)
    return function


@command.command("add")
@click.argument("name")
@click.argument("task")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@_with_rule
@json_option
def add(
    name: str,
    task: str,
    arguments: tuple[str, ...],
    every: str | None,
    cron: str | None,
    rrule: str | None,
    zone: str,
    as_json: bool,
) -> None:
    """Submit TASK again and again: `hopyard schedule add NAME TASK --every 2m -- --city Oslo`."""
    from hopyard.cli.run import parse
    from hopyard.specs import Schedule

    rule = _rule(every, cron, rrule, zone)
    if rule is None:
        raise ScheduleError("say when: --every, --cron or --rrule")
    kwargs = parse(arguments)

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.schedule import store

        valid = json.loads(hopyard.task(task).payload.dump((), kwargs))
        database = hopyard.client().database
        async with database.transaction() as tx:
            await store.put(tx, database.dialect, Schedule(name, task, rule, kwargs=valid))
            return [_describe(await store.get(tx, name))]

    emit(with_hopyard(work), as_json, _render)


@command.command("edit")
@click.argument("name")
@_with_rule
@json_option
def edit(name: str, every: str | None, cron: str | None, rrule: str | None, zone: str, as_json: bool) -> None:
    """Change when a schedule is due."""
    rule = _rule(every, cron, rrule, zone)
    if rule is None:
        raise ScheduleError("say when: --every, --cron or --rrule")
    _change(name, as_json, rule=rule)


@command.command("enable")
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Let a schedule fire again, from now on."""
    _change(name, as_json, enabled=True)


@command.command("disable")
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Stop a schedule without losing it."""
    _change(name, as_json, enabled=False)


def _change(name: str, as_json: bool, **changes: Any) -> None:
    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.schedule import store

        database = hopyard.client().database
        async with database.transaction() as tx:
            return [_describe(await store.edit(tx, database.dialect, name, **changes))]

    emit(with_hopyard(work), as_json, _render)


@command.command("delete")
@click.argument("name")
def delete(name: str) -> None:
    """Remove a schedule; one that a plugin declares is disabled."""

    async def work(hopyard: Hopyard) -> None:
        from hopyard.schedule import store

        database = hopyard.client().database
        async with database.transaction() as tx:
            await store.delete(tx, database.dialect, name)

    with_hopyard(work)
