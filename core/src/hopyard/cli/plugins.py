"""`hopyard plugins`: every plugin, its state, and what to do where it failed; disabling and enabling one."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from hopyard.cli import load_settings
from hopyard.cli._context import hush_loader
from hopyard.cli._errors import fault_list
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._session import with_hopyard
from hopyard.cli._streams import noise_to_stderr
from hopyard.cli.verify import command as verify

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.loading import PluginRecord, Plugins
    from hopyard.settings import Settings


@click.group("plugins", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List plugins, their state, and why a failed one failed."""
    if context.invoked_subcommand is None:
        _list(as_json)


command.add_command(verify)


@command.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Do without the plugin NAME in all processes, until it is enabled again.

    Running jobs go on to their end; other jobs of it wait, and its schedules do not fire.
    """

    async def work(hopyard: Hopyard) -> tuple[bool, list[str]]:
        from hopyard import switching

        who = getpass.getuser()
        new = await switching.disable(hopyard, hopyard.client().database, name, who)
        return new, hopyard.plugins.left_with(name)

    new, others = with_hopyard(work, diagnosis=True)
    say(f"plugin {name} is disabled; workers follow within seconds" if new else f"{name} was disabled before")
    if others:
        say(f"with it rest those that need it: {', '.join(others)}")


@command.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Take the plugin NAME back in all processes; its jobs that waited are queued again."""

    async def work(hopyard: Hopyard) -> bool:
        from hopyard import switching

        return await switching.enable(hopyard, hopyard.client().database, name)

    was = with_hopyard(work, diagnosis=True)
    say(f"plugin {name} is enabled; workers follow within seconds" if was else f"{name} was not disabled")


def _list(as_json: bool) -> None:
    from hopyard.builtin import BUILTIN
    from hopyard.loading import examine_plugins

    hush_loader()
    settings = load_settings()
    with noise_to_stderr():
        plugins = examine_plugins(settings, role="cli", builtin=BUILTIN)
        _look_at_tables(settings, plugins)
    emit(plugins.records, as_json, _render)
    if plugins.faults:
        say(fault_list(plugins.faults), err=True)


def _look_at_tables(settings: Settings, plugins: Plugins) -> None:
    """Have the records tell whose tables are not what its code needs."""
    import asyncio

    from hopyard.app import Hopyard
    from hopyard.errors import LedgerError, MigrationMissing, PluginError

    try:
        asyncio.run(Hopyard(settings, plugins).check_migrations())
    except (MigrationMissing, PluginError):
        return  # there is no ledger yet; or the settings want a refusal, for which the list says why
    except LedgerError as error:
        say(f"the plugins' tables were not looked at: {error}", err=True)


def _render(records: list[PluginRecord]) -> None:
    rows = [
        (
            record.name,
            record.state,
            record.version,
            record.reason or "; ".join(record.warnings) or record.summary,
            record.hint,
        )
        for record in records
    ]
    table("Plugins", ("name", "state", "version", "reason", "what to do"), rows)
