"""The command group: a table of commands that are imported when used, and a group for each plugin."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from hopyard.cli._context import load_context
from hopyard.cli._errors import check_words, tell
from hopyard.cli._options import add_global_options, global_options, prime
from hopyard.cli._streams import say
from hopyard.ending import end_soon
from hopyard.errors import HopyardError

SITE = "site"


class HopyardGroup(click.Group):
    """Commands from `table` (name: `module:attribute` and short help), then one group per plugin."""

    def __init__(self, name: str, table: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(name, **attributes)
        self.table = table
        self.params += [*global_options(), _version_option()]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.table, *_plugin_names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.table:
            return self._from_table(cmd_name)
        if cmd_name == SITE or cmd_name in _plugin_names():
            return PluginGroup(cmd_name)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            close = get_close_matches(name, self.list_commands(ctx), 1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            ctx.fail(f"There is no command and no plugin `{name}`.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in self.table.items()])
        plugins = _plugin_names()
        if plugins:
            with formatter.section("Plugins"):
                formatter.write_dl([(name, f"Commands of the plugin {name}.") for name in plugins])

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]  # what click tells apart by overloads
        """As click's; whatever goes wrong is told in a line or a few on standard error (`_errors`)."""
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        own = args is None  # the process is this command's: it ends with it
        words = sys.argv[1:] if args is None else [*args]
        try:
            check_words(words)
            status = super().main(words, prog_name, standalone_mode=False, **extra)
            code: str | int | None = status if isinstance(status, int) else 0
        except SystemExit as end:
            code = end.code
        except Exception as error:
            if os.environ.get("HOPYARD_INTERNAL_DEBUG") == "1":
                raise
            code = tell(error)
        if own:
            end_soon(code)
        sys.exit(code)

    def _from_table(self, name: str) -> click.Command:
        module, _, attribute = self.table[name][0].partition(":")
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise HopyardError(f"`hopyard {name}` is not part of this installation") from error
        return add_global_options(command)


class PluginGroup(click.Group):
    """`hopyard PLUGIN`: the commands that a plugin registers; the plugin is loaded when the group is used."""

    def __init__(self, plugin: str) -> None:
        super().__init__(plugin, help=f"Commands of the plugin {plugin}.")
        self.plugin = plugin
        self.params += global_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        prime(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._commands(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._commands(ctx).get(cmd_name)

    def _commands(self, ctx: click.Context) -> dict[str, click.Command]:
        if not self.commands:
            with ctx.scope(cleanup=False):
                found = load_context().plugins.commands(self.plugin)
            self.commands = {str(command.name): add_global_options(command) for command in found}
        return dict(self.commands)


def _plugin_names() -> list[str]:
    from hopyard.loading import installed_names

    return installed_names()


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            from importlib.metadata import version

            say(f"hopyard {version('hopyard')}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the version.",
    )
