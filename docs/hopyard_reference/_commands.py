"""The command line: every command, argument and option."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
from hopyard.cli import COMMANDS
from hopyard.cli._options import GlobalOption, global_options

from hopyard_reference._plugins import classes
from hopyard_reference._words import as_markdown, code, table


def page() -> str:
    """Return the page's text."""
    options = [_row(option) for option in global_options()]
    parts = [f"## Options of all commands\n\n{table(('option', 'what'), options)}"]
    for words, command in commands():
        parts.append(_command(words, command))
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield all commands with their words, those of plugins last."""
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        yield from _below(f"hopyard {name}", getattr(import_module(module), attribute))
    for name, cls in classes():
        group = click.Group(name, help=f"Commands of the plugin {name}.")
        made: Any = cls(name, cls.settings_model()())
        for command in made.register_commands() if hasattr(made, "register_commands") else ():
            group.add_command(command)
        if group.commands:
            yield from _below(f"hopyard {name}", group)


def _below(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _below(f"{words} {name}", inner)


def own_options(command: click.Command) -> list[click.Option]:
    """Return the options that are this command's alone, without those that are not for people."""
    options = [one for one in command.params if isinstance(one, click.Option)]
    return [one for one in options if not isinstance(one, GlobalOption) and not one.hidden]


def _command(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=words)
    usage = " ".join([words, *command.collect_usage_pieces(context)])
    depth = "##" if words.count(" ") == 1 else "###"
    parts = [f"{depth} `{words}`\n", code(usage, ""), as_markdown((command.help or "").replace("\b", ""))]
    if rows := [_row(option) for option in own_options(command)]:
        parts.append(table(("option", "what"), rows))
    return "\n".join(parts) + "\n"


def _row(option: click.Option) -> tuple[str, str]:
    names, text = option.get_help_record(click.Context(click.Command("none"))) or ("", "")
    return f"`{names}`", text.replace("[", r"\[")
