"""`hopyard demo`: the main job, on this machine, in a minute."""

from __future__ import annotations

import re
import shutil
import textwrap

import click

from hopyard.cli._output import json_option, say


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the demo's directory there, to look around in it.")
@json_option
@click.pass_context
def command(context: click.Context, keep: bool, as_json: bool) -> None:
    """Start a stack, ask for things in plain English, and show what comes of them.

    A mail and a calendar are part of it where their plugins and servers are installed: `pip install
    hopyard-email hopyard-sync aiosmtpd radicale`.

    Without a model's key a small offline model chooses and calls the tools. Choose another by environment
    variables: HOPYARD_AI__MODEL=openai:gpt-5-mini HOPYARD_AI__API_KEY=…
    """
    from hopyard.cli.demo.play import play
    from hopyard.cli.demo.show import show

    report = play(keep=keep, tell=lambda text: say(_wrapped(text), err=as_json))
    show(report, as_json)
    context.exit(0 if report["ok"] else 1)


def _wrapped(text: str) -> str:
    """The text in lines of the terminal's width, broken between words, indented as it is."""
    width = max(shutil.get_terminal_size().columns, 40)
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent=re.match(" *", line)[0],  # type: ignore[index]  # it matches every text
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


__all__ = ["command"]
