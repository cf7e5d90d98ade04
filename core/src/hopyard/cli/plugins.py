"""`hopyard plugins`: every plugin, its state, and what to do where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hopyard.cli import load_settings
from hopyard.cli._context import hush_loader
from hopyard.cli._errors import fault_list
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._streams import noise_to_stderr

if TYPE_CHECKING:
    from hopyard.loading import PluginRecord


@click.command("plugins")
@json_option
def command(as_json: bool) -> None:
    """List plugins, their state, and why a failed one failed."""
    from hopyard.builtin import BUILTIN
    from hopyard.loading import examine_plugins

    hush_loader()
    with noise_to_stderr():
        plugins = examine_plugins(load_settings(), role="cli", builtin=BUILTIN)
    emit(plugins.records, as_json, _render)
    if plugins.faults:
        say(fault_list(plugins.faults), err=True)


def _render(records: list[PluginRecord]) -> None:
    rows = [
        (record.name, record.state, record.version, record.reason or record.summary, record.hint)
        for record in records
    ]
    table("Plugins", ("name", "state", "version", "reason", "what to do"), rows)
