"""`hopyard plugins verify NAME`: an installed plugin held to the contract, as a score card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hopyard.cli import load_settings
from hopyard.cli._context import hush_loader
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._streams import noise_to_stderr
from hopyard.errors import HopyardError

if TYPE_CHECKING:
    from hopyard.loading import Plugins
    from hopyard.testing.contract import Violation


@click.command("verify")
@click.argument("name")
@json_option
@click.pass_context
def command(context: click.Context, name: str, as_json: bool) -> None:
    """Hold an installed plugin to the contract of plugins; status 1 if it breaks a rule.

    Its tasks are not run: the rules that need examples of arguments are for the plugin's own tests
    (`hopyard.testing.PluginContract`).
    """
    from hopyard.builtin import BUILTIN
    from hopyard.loading import examine_plugins

    hush_loader()
    settings = load_settings()
    with noise_to_stderr():
        plugins = examine_plugins(settings, role="cli", builtin=BUILTIN)
        found = _checked(plugins, name, settings.plugin(name).settings)
    emit(_card(found), as_json, lambda card: _render(name, card))
    context.exit(1 if any(found.values()) else 0)


def _checked(plugins: Plugins, name: str, settings: dict[str, Any]) -> dict[str, list[Violation] | None]:
    from hopyard.builtin import BUILTIN
    from hopyard.testing.contract import Subject, check

    plugins.record(name)  # raises with the nearest name
    if name in BUILTIN:
        raise HopyardError(f"`{name}` is the core itself, which is held to rules of its own")
    cls = plugins.classes.get(name)
    if cls is None:
        record = plugins.record(name)
        raise HopyardError(f"plugin `{name}` is {record.state}: {record.reason}; {record.hint}")
    return check(Subject(name, cls, {f"plugins.{name}.settings": settings} if settings else {}))


def _card(found: dict[str, list[Violation] | None]) -> list[dict[str, Any]]:
    from hopyard.testing.contract import RULES

    verdicts = {None: "not checked", True: "broken", False: "held"}
    return [
        {
            "rule": name,
            "verdict": verdicts[None if violations is None else bool(violations)],
            "reason": RULES[name].reason,
            "violations": violations or [],
        }
        for name, violations in found.items()
    ]


def _render(name: str, card: list[dict[str, Any]]) -> None:
    rows = [(row["rule"], row["verdict"], row["reason"]) for row in card]
    table(f"Contract: {name}", ("rule", "verdict", "why"), rows)
    for row in card:
        for violation in row["violations"]:
            say(f"{row['rule']}: {violation}")
    broken = sum(row["verdict"] == "broken" for row in card)
    held = sum(row["verdict"] == "held" for row in card)
    left = len(card) - broken - held
    loads = not any(row["rule"] == "loads" and row["violations"] for row in card)
    why = "they need the examples of its tests" if loads else "they need a plugin that loads"
    say(f"{held} rules held, {broken} broken, {left} not checked" + (f": {why}" if left else ""))
