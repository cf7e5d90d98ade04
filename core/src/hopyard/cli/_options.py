"""Options that stand before or after the command: where the settings are, and what overrides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

_META = "hopyard.cli.globals"
_LONGEST_PATH = 4096


@dataclass(slots=True)
class Globals:
    """The values of the global options so far; what stands later on the command line wins."""

    config: Path | None = None
    data: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


class ListingGroup(click.Group):
    """A group whose command `list` is meant where none is named: `hopyard jobs --json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's."""
        named = any(word in self.commands for word in args) or "--help" in args
        return super().parse_args(ctx, args if named or (args and args[0][0:1] != "-") else ["list", *args])


class GlobalOption(click.Option):
    """An option that every command takes; its value goes to `globals_of`, not to the command."""


def globals_of(context: click.Context | None) -> Globals:
    """The global options given up to now; empty outside of a command."""
    if context is None:
        return Globals()
    values: Globals = context.meta.setdefault(_META, Globals())
    return values


class _PathText(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """The path of a file or folder, which need not exist."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path. Fails for an empty one, and for one that no system takes."""
        text = str(value)
        if not text.strip() or "\0" in text or len(text) > _LONGEST_PATH:
            self.fail(f"{text[:40]!r} is no path", param, ctx)
        return Path(text)


def add_global_options(command: click.Command) -> click.Command:
    """Let a command, and those below it, take the global options; an option of its own comes first."""
    taken = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
    command.params += [option for option in global_options() if not taken & set(option.opts)]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_global_options(inner)
    return command


def global_options() -> list[click.Option]:
    """One set of the options, made anew since each belongs to one command."""
    path = _PathText()
    return [
        _option("--config", _set_config, "The settings file.", type=path, metavar="FILE"),
        _option("--data", _set_data, "The data directory.", type=path, metavar="DIRECTORY"),
        _option("--log-level", _set_level, "DEBUG, INFO, WARNING, ERROR or CRITICAL.", metavar="LEVEL"),
        _option("--set", _set_override, "Override a setting.", multiple=True, metavar="KEY=VALUE"),
    ]


def prime(context: click.Context, arguments: Sequence[str]) -> None:
    """Take note of `--config` further on, for groups whose commands depend on the settings."""
    for position, text in enumerate(arguments):
        if text == "--":
            return
        if text == "--config" and position + 1 < len(arguments):
            globals_of(context).config = Path(arguments[position + 1])
        elif text.startswith("--config="):
            globals_of(context).config = Path(text.partition("=")[2])


def _option(flag: str, callback: Any, text: str, **attributes: Any) -> click.Option:
    return GlobalOption([flag], callback=callback, help=text, expose_value=False, **attributes)


def _set_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        globals_of(context).config = value


def _set_data(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        globals_of(context).data = value


def _set_level(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        globals_of(context).overrides["log.level"] = value


def _set_override(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{value!r} is not KEY=VALUE, e.g. log.level=DEBUG", context, parameter)
        globals_of(context).overrides[key.strip()] = text
