"""`hopyard config`: check the settings, show the effective ones, print their schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli import load_context
from hopyard.cli._context import examine_settings, hush_loader
from hopyard.cli._errors import fault_list
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._streams import noise_to_stderr
from hopyard.display import to_json

if TYPE_CHECKING:
    from hopyard.errors import Fault
    from hopyard.loading import PluginRecord, Plugins
    from hopyard.settings import Key, Settings


@click.group("config")
def command() -> None:
    """Check and show the settings."""


@command.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Find every fault in the settings, those of plugins included; status 2 if there is one."""
    settings, faults = examine_settings()
    plugins = _plugins(settings, faults)
    if plugins is not None:
        faults += [*plugins.faults, *plugins.warnings, *_channels(settings, plugins)]
        faults += [fault for record in plugins.records if record.failed for fault in _faults(record)]
    faults = list(dict.fromkeys(faults))
    if faults and not as_json:
        say(fault_list(faults), err=True)
    else:
        emit(faults, as_json, lambda _: say(_all_right(settings, plugins)))
    ctx.exit(2 if faults else 0)


@command.command()
@json_option
def show(as_json: bool) -> None:
    """Show every setting, its value and where the value is from; secrets are masked."""
    context = load_context()
    from hopyard.loading import effective

    emit(effective(context.settings, context.plugins), as_json, _render)


@command.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, with the settings of the installed plugins."""
    from hopyard.settings import schema

    settings, faults = examine_settings()
    plugins = _plugins(settings, faults)
    classes = plugins.classes if plugins is not None else {}
    models = {name: cls.settings_model() for name, cls in classes.items() if plugins and _configurable(name)}
    say(to_json(schema(models), indent=2))


def _plugins(settings: Settings, faults: Sequence[Fault]) -> Plugins | None:
    """The plugins; None where a fault hides which of them may be imported."""
    from hopyard.builtin import BUILTIN
    from hopyard.loading import examine_plugins

    hush_loader()
    unclear = ("", "config", "plugins", "plugins.allow")
    if any(fault.key in unclear or fault.key.startswith("plugins.allow[") for fault in faults):
        return None
    if any(fault.key.startswith("plugins.") and fault.key.endswith(".enabled") for fault in faults):
        return None
    with noise_to_stderr():
        return examine_plugins(settings, role="cli", builtin=BUILTIN)


def _channels(settings: Settings, plugins: Plugins) -> Iterator[Fault]:
    """Yield a fault for each notification channel that nothing serves."""
    from hopyard.errors import Fault
    from hopyard.notifications.channels import fault, mask
    from hopyard.settings import dotted

    for name, person in settings.people.items():
        for index, address in enumerate(person.channels):
            expected = fault(address.get_secret_value(), plugins.notifiers)
            if expected is not None:
                key: Key = ("people", name, "channels", index)
                source = settings.nearest_source(*key)
                yield Fault(source, dotted(key), mask(address.get_secret_value()), expected)


def _faults(record: PluginRecord) -> Sequence[Fault]:
    from hopyard.errors import Fault

    if record.faults:
        return record.faults
    found = f"a plugin that is {record.state}: {record.reason}"
    source = record.distribution or "plugins"
    return [
        Fault(
            source, f"plugins.{record.name}", found, record.hint or "a plugin that loads", None, record.name
        )
    ]


def _all_right(settings: Settings, plugins: Plugins | None) -> str:
    names = ", ".join(plugins.names) if plugins else ""
    where = settings.file or "the settings (there is no file)"
    return f"No fault in {where}; enabled plugins: {names or 'none'}"


def _render(rows: list[dict[str, Any]]) -> None:
    cells = [(row["key"], _text(row["value"]), row["source"]) for row in rows]
    table("Settings", ("key", "value", "source"), cells)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else to_json(value)


def _configurable(name: str) -> bool:
    """False for the core's own plugin, which has no settings."""
    return name != "hopyard"
