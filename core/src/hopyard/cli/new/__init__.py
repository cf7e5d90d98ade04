"""`hopyard new`: a plugin's package, or a site's own `hopfile.py`, that works at once."""

from __future__ import annotations

from pathlib import Path

import click

from hopyard.cli._output import say

#: What a plugin may be made with, and what each adds.
PARTS = {
    "schedule": "a schedule of its task",
    "settings": "settings of its own",
    "table": "a table of its own, with a migration",
    "command": "a command `hopyard NAME …`",
    "tool": "its task as a tool for models",
    "notifier": "a channel by which people are told things",
}


@click.group("new")
def command() -> None:
    """Make a plugin, or a hopfile.py, that works at once."""


def _options(function: click.decorators.FC) -> click.decorators.FC:
    for name, help_text in reversed(PARTS.items()):
        function = click.option(f"--{name}", name, is_flag=True, help=f"With {help_text}.")(function)
    return function


@command.command("plugin")
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory to make it in; `hopyard-NAME` unless given.",
)
@click.option("--all", "everything", is_flag=True, help="With all of the below.")
@_options
def plugin(name: str, into: Path | None, everything: bool, **parts: bool) -> None:
    """Make the package of a plugin: a task, its tests, contract, README and types.

    NAME is the plugin's: its tasks are called NAME.something, its package hopyard-NAME.
    """
    from hopyard.cli.new._plugin import files, write

    wanted = {part for part, asked in parts.items() if asked or everything}
    folder = into or Path(f"hopyard-{name.replace('_', '-')}")
    write(folder, files(name, frozenset(wanted)))
    say(f"The plugin {name} is in {folder}. Next:\n")
    say(f"  cd {folder}")
    say('  pip install -e ".[dev]"')
    say("  pytest                      # its tests, and the contract of plugins")
    say(f"  hopyard plugins verify {name}")
    say(f"  hopyard up                  # then, elsewhere: hopyard run {name}.greet --who Ada")


@command.command("hopfile")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The directory of the settings; here unless given.",
)
def hopfile(into: Path) -> None:
    """Make a hopfile.py: a site's own tasks and schedules, without a package."""
    from hopyard.cli.new._hopfile import HOPFILE
    from hopyard.cli.new._plugin import write

    write(into, {"hopfile.py": HOPFILE}, beside=True)
    say(f"{into / 'hopfile.py'} is there. Next:\n")
    say("  hopyard tasks               # site.greet is among them")
    say("  hopyard up                  # then, elsewhere: hopyard run site.greet --who Ada")
