"""`hopyard maintenance keys …`. No command shows a key that is kept."""

from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING, Any

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_maintenance.models import KeyState, RotationReport

_MOST_GIVEN = 400_000

by_option = click.option(
    "--by",
    default=lambda: os.environ.get("USER"),
    help="Who does it, for the audit; the account unless given.",
)


@click.group("keys")
def keys() -> None:
    """List, rotate and take back the keys that are managed."""


@keys.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the managed keys: when they were made, and when they are due."""
    from hopyard_maintenance.keys import managing

    found = with_hopyard(lambda hopyard: managing.states())
    emit(found, as_json, _render_list, mask_names=False)


def _render_list(found: list[KeyState]) -> None:
    table(
        "Keys",
        ("name", "id", "provider", "store", "state", "published", "due", "problem"),
        [
            (
                one.name,
                one.id,
                one.provider,
                one.store,
                one.state,
                f"{one.published:%Y-%m-%d %H:%M}" if one.published else None,
                f"{one.due:%Y-%m-%d}" if one.due else "now" if one.state == "none" else None,
                one.problem,
            )
            for one in found
        ],
    )


@keys.command("rotate")
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Also those that are not due.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@by_option
@json_option
def rotate(names: tuple[str, ...], force: bool, dry_run: bool, by: str | None, as_json: bool) -> None:
    """Have a worker rotate the keys that are due; with NAMES only these."""
    if force and not names:
        raise click.UsageError("--force wants the names of keys")

    async def work(hopyard: Hopyard) -> RotationReport:
        from hopyard_maintenance.keys import managing

        if dry_run:
            return await managing.plan([*names] or None, force=force)
        arguments = {"names": [*names] or None, "force": force, "dry_run": False}
        done: RotationReport = await submitted(
            hopyard, "maintenance.rotate_api_keys", arguments, once=True, person=by or None
        )
        return done

    report = with_hopyard(work)
    emit(report, as_json, _render_rotation, mask_names=False)
    if report.problems:
        sys.exit(1)


def _render_rotation(report: RotationReport) -> None:
    say(report.summary)


@keys.command("rollback")
@click.argument("name")
@by_option
@json_option
def roll_back(name: str, by: str | None, as_json: bool) -> None:
    """Have a worker take a new key back while the one before still works."""
    task, person = "maintenance.roll_back_api_key", by or None
    said = with_hopyard(lambda hopyard: submitted(hopyard, task, {"name": name}, once=True, person=person))
    emit({"name": name, "state": said}, as_json, lambda _: say(said), mask_names=False)


@keys.command("history")
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@json_option
def history(name: str | None, limit: int, as_json: bool) -> None:
    """Show the audit: what was done to keys, when, by which job, for whom."""
    from hopyard_maintenance.keys import ledger, managing

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        events = await ledger.events(name, limit)
        if name is not None and not events:
            managing.managed(name)  # raises where there is no such key: a mistyped name has no history
        return events

    found = with_hopyard(work)
    emit(found, as_json, _render_history, mask_names=False)


def _render_history(found: list[dict[str, Any]]) -> None:
    table(
        "What was done",
        ("at", "key", "step", "result", "detail", "by"),
        [
            (
                f"{one['at']:%Y-%m-%d %H:%M:%S}",
                one["name"],
                one["step"],
                "ok" if one["ok"] else "failed",
                one["detail"],
                one["person"],
            )
            for one in found
        ],
    )


@keys.command("adopt")
@click.argument("name")
@click.option("--id", "id_", required=True, help="By what its provider knows the key.")
@by_option
def adopt(name: str, id_: str, by: str | None) -> None:
    """Take a key that exists already; it is read from standard input, never from the command line."""
    from pydantic import SecretStr

    from hopyard_maintenance.keys import by_hand

    text = click.prompt("The key", hide_input=True, err=True) if sys.stdin.isatty() else _given()
    with_hopyard(lambda hopyard: by_hand.adopt(name, id_, SecretStr(text), by))
    say(f"The key {name} is kept; its first rotation revokes it.")


def _given() -> str:
    """Return all of standard input, as one key of one or more lines, without the line break at its end."""
    raw = sys.stdin.buffer.read(_MOST_GIVEN + 1)
    if len(raw) > _MOST_GIVEN:
        raise click.UsageError(f"standard input has more than {_MOST_GIVEN:,} bytes: that is no key")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is no text in UTF-8, as a key must be") from None
    return text.removesuffix("\n").removesuffix("\r")


@keys.command("resolve")
@click.argument("name")
@by_option
def resolve(name: str, by: str | None) -> None:
    """Let a rotation go on of which nobody knew whether a key was made: you have looked, none is left."""
    from hopyard_maintenance.keys import by_hand

    say(with_hopyard(lambda hopyard: by_hand.resolve(name, by)))


@keys.command("abandon")
@click.argument("name")
@by_option
def abandon(name: str, by: str | None) -> None:
    """End a rotation that is stuck, wherever it is; the key in use stays. Nothing is revoked."""
    from hopyard_maintenance.keys import by_hand

    say(with_hopyard(lambda hopyard: by_hand.abandon(name, by)))


@keys.command("reseal")
@json_option
def reseal(as_json: bool) -> None:
    """Encrypt all keys in the table anew by the first master key, so that the others can go."""

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        from hopyard_maintenance import Maintenance
        from hopyard_maintenance.keys import stores
        from hopyard_maintenance.keys.sealing import Seal

        done = await stores.reseal(Seal(Maintenance.current().settings.master_keys))
        return {"resealed": done.done, "unreadable": done.unreadable}

    found = with_hopyard(work)
    emit(found, as_json, _render_resealed, mask_names=False)
    if found["unreadable"]:
        sys.exit(1)


def _render_resealed(found: dict[str, Any]) -> None:
    say(f"{found['resealed']} keys are encrypted anew by the first master key.")
    if found["unreadable"]:
        say(f"No master key opens: {', '.join(found['unreadable'])}.", err=True)


@keys.command("master")
def master() -> None:
    """Print a new master key, for the settings; it is kept nowhere."""
    say(base64.urlsafe_b64encode(os.urandom(32)).decode())
