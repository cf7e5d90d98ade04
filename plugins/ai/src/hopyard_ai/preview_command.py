"""`hopyard ai preview`: what a sentence would become, without storing anything."""

from __future__ import annotations

import getpass
import sys
from typing import Any

import click
from hopyard.cli import emit, json_option, load_settings, say

user_option = click.option("--user", "-u", help="Whom it is for; the name of the account unless given.")


def account(user: str | None) -> str:
    """Return a person's name: the one given, or that of the account."""
    return user or getpass.getuser()


@click.command("preview")
@click.argument("text", nargs=-1)
@user_option
@click.option(
    "--now", metavar="ISO", help="When it is said, such as 2027-02-09T14:20:00+01:00; now unless given."
)
@click.option("--zone", help="IANA time zone; the person's unless given.")
@click.option(
    "--batch", is_flag=True, help='Read a JSON object {"text", "now", "zone"} a line, answer a line each.'
)
@json_option
@click.pass_context
def preview(
    context: click.Context,
    text: tuple[str, ...],
    user: str | None,
    now: str | None,
    zone: str | None,
    batch: bool,
    as_json: bool,
) -> None:
    """Show what a sentence would become; store nothing. The exit status is 1 where it is refused."""
    from datetime import UTC, datetime

    from hopyard_ai import previewing

    if batch:
        lines = (line.decode(errors="replace") for line in sys.stdin.buffer)
        for line in previewing.previews(lines):
            click.echo(line)
        return
    try:
        moment = previewing.moment(now) if now else datetime.now(UTC)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--now") from error
    found = previewing.preview(" ".join(text), moment, zone or _zone(account(user)))
    refused = found.get("refused")
    if as_json or refused is None:
        emit(found, as_json, _render_preview)
    else:
        say(refused, err=True)
    context.exit(1 if refused is not None else 0)


def _zone(user: str) -> str:
    settings = load_settings()
    known = settings.people.get(user)
    return (known.zone if known is not None else None) or settings.time_zone


def _render_preview(found: dict[str, Any]) -> None:
    say(f"{found['kind']}: {found['instruction'] or '(nothing is left to do)'}")
    say(f"  when  {found['when']}")
    for n, at in enumerate(found["next"]):
        say(f"  {'next' if n == 0 else '    '}  {at}")
    if found["last"] and len(found["next"]) > 1:
        say(f"  last  {found['last']}")
