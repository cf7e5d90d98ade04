"""`hopyard doctor`: everything that can be checked, and what to do about what is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli._context import load_hopyard
from hopyard.cli._output import emit, json_option, table
from hopyard.cli._streams import noise_to_stderr
from hopyard.errors import HopyardError
from hopyard.monitor.health import run_checks

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.command("doctor")
@click.option(
    "--probe",
    type=click.Choice(["live", "ready", "deep"]),
    default="deep",
    show_default=True,
    help="live: it loads; ready: ledger and broker answer, required plugins run; deep: all checks.",
)
@json_option
@click.pass_context
def command(context: click.Context, probe: str, as_json: bool) -> None:
    """Check settings, plugins, ledger, broker, workers and more. Status 1 if anything is wrong."""
    hopyard = load_hopyard(diagnosis=True)
    found = list[dict[str, Any]]()
    if probe != "live":
        with noise_to_stderr():
            found = asyncio.run(_checks(hopyard, deep=probe == "deep"))
    found = _plugins(hopyard) + found  # asked afterwards: missing tables end a plugin, too
    emit(found, as_json, _render)
    context.exit(0 if all(one["ok"] for one in found) else 1)


def _plugins(hopyard: Hopyard) -> list[dict[str, Any]]:
    return [
        {
            "check": f"plugin {record.name}",
            "ok": not record.failed and not record.warnings,
            "detail": " ".join((record.state, record.reason, *record.warnings)).strip(),
            "hint": record.hint if record.failed else "",
            "seconds": 0.0,
        }
        for record in hopyard.plugins.records
    ]


async def _checks(hopyard: Hopyard, *, deep: bool) -> list[dict[str, Any]]:
    ready = {"hopyard.ledger", "hopyard.broker"}
    wanted = [
        (plugin, check)
        for plugin, check in hopyard.plugins.health_checks
        if deep or f"{plugin}.{check.name}" in ready
    ]
    try:
        await hopyard.check_migrations()
        found = await run_checks(wanted)
    except HopyardError as error:
        return [{"check": "hopyard.ledger", "ok": False, "detail": str(error), "hint": "", "seconds": 0.0}]
    finally:
        await hopyard.close()
    return [
        {
            "check": f"{one.plugin}.{one.name}",
            "ok": one.ok,
            "detail": one.detail,
            "hint": "",
            "seconds": one.seconds,
        }
        for one in found
    ]


def _render(found: list[dict[str, Any]]) -> None:
    table(
        "Doctor",
        ("check", "", "what was found", "what to do"),
        [(one["check"], "ok" if one["ok"] else "WRONG", one["detail"], one["hint"]) for one in found],
    )
