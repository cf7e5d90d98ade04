"""`hopyard schedule`: what is submitted when, and changing it while it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._options import ListingGroup
from hopyard.cli._output import emit, json_option, table
from hopyard.cli._session import with_core, with_hopyard
from hopyard.errors import ScheduleError
from hopyard.redaction import masked

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.schedule.store import Stored
    from hopyard.specs import Rule


@click.group("schedule", cls=ListingGroup)
def command() -> None:
    """List and change schedules."""


@command.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List all schedules with their next due time."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.schedule import store

        async with hopyard.client().database.transaction() as tx:
            return [_describe(stored) for stored in await store.listed(tx)]

    emit(masked(with_core(work)), as_json, _render)


def _describe(stored: Stored) -> dict[str, Any]:
    from hopyard import rules

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
        drop=("person", "source"),
    )


def _local(row: dict[str, Any]) -> str:
    from zoneinfo import ZoneInfo

    due = row["next_due"]
    return f"{due.astimezone(ZoneInfo(row['zone'])):%Y-%m-%d %H:%M:%S} {row['zone']}" if due else "never"


class _Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """An interval such as `30s` or `1h30m`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Fails for what is no interval of a schedule."""
        from hopyard.rules import check_every
        from hopyard.settings import duration

        try:
            seconds = duration(value)
            check_every(seconds)
        except ScheduleError as error:
            self.fail(f"{str(value)[:40]!r} is not {error.expected}", param, ctx)
        except (ValueError, OverflowError) as error:
            self.fail(f"{str(value)[:40]!r} is {error}", param, ctx)
        return seconds


def _changed(rule: Rule | None, zone: str, every: float | None, cron: str | None, rrule: str | None) -> Rule:
    """Return the rule that the options ask for; what they do not name is kept of `rule`.

    Raises `ScheduleError` where there is none, or it is no rule.
    """
    from hopyard.specs import Rule

    given = {"every": every, "cron": cron, "rrule": rrule}
    kinds = {name: value for name, value in given.items() if value is not None}
    if len(kinds) > 1:
        raise ScheduleError("give one of --every, --cron and --rrule")
    try:
        if kinds:
            made = Rule(**kinds, zone=zone)  # type: ignore[arg-type]  # each value is of its field's type
        elif rule is not None:
            made = replace(rule, zone=zone)
        else:
            raise ScheduleError("say when: --every, --cron or --rrule")
    except (ValueError, TypeError, OverflowError) as error:
        raise ScheduleError(str(error)) from error
    return made


_rule_options = [
    click.option("--every", type=_Duration(), metavar="30s|2m|1h", help="An interval."),
    click.option("--cron", metavar="'0 8 * * 1-5'", help="Five cron fields, or @daily and the like."),
    click.option("--rrule", metavar="FREQ=…", help="An RFC 5545 rule."),
    click.option("--zone", metavar="ZONE", help="IANA time zone; that of the settings unless given."),
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
@click.option("--replace", "over", is_flag=True, help="Replace the schedule of this name, if there is one.")
@json_option
def add(
    name: str,
    task: str,
    arguments: tuple[str, ...],
    every: float | None,
    cron: str | None,
    rrule: str | None,
    zone: str | None,
    over: bool,
    as_json: bool,
) -> None:
    """Submit TASK again and again: `hopyard schedule add NAME TASK --every 2m -- --city Oslo`."""
    from hopyard.cli._arguments import parse
    from hopyard.specs import Schedule

    if not name.strip():
        raise click.UsageError("the schedule's NAME is empty")

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.schedule import store

        payload = hopyard.task(task).payload
        rule = _changed(None, zone or hopyard.settings.time_zone, every, cron, rrule)
        kwargs = json.loads(payload.dump((), parse(arguments, task, payload.schema())))
        database = hopyard.client().database
        async with database.transaction() as tx:
            if not over and await store.exists(tx, name):
                raise ScheduleError(
                    f"there is a schedule `{name}` already: --replace replaces it, `hopyard schedule edit` "
                    "changes when it is due"
                )
            await store.put(tx, database.dialect, Schedule(name, task, rule, kwargs=kwargs))
            return [_describe(await store.get(tx, name))]

    emit(with_hopyard(work), as_json, _render)


@command.command("edit")
@click.argument("name")
@_with_rule
@json_option
def edit(
    name: str,
    every: float | None,
    cron: str | None,
    rrule: str | None,
    zone: str | None,
    as_json: bool,
) -> None:
    """Change when a schedule is due; what is not named stays as it is."""
    if (every, cron, rrule, zone) == (None, None, None, None):
        raise click.UsageError("say what changes: --every, --cron, --rrule or --zone")

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from hopyard.schedule import store

        database = hopyard.client().database
        async with database.transaction() as tx:
            old = (await store.get(tx, name)).schedule.rule
            rule = _changed(old, zone or old.zone or hopyard.settings.time_zone, every, cron, rrule)
            return [_describe(await store.edit(tx, database.dialect, name, rule=rule))]

    emit(with_core(work), as_json, _render)


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

    emit(with_core(work), as_json, _render)


@command.command("delete")
@click.argument("name")
def delete(name: str) -> None:
    """Remove a schedule; one that a plugin declares is disabled."""

    async def work(hopyard: Hopyard) -> None:
        from hopyard.schedule import store

        database = hopyard.client().database
        async with database.transaction() as tx:
            await store.delete(tx, database.dialect, name)

    with_core(work)
