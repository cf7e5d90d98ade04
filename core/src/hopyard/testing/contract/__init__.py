"""The contract of plugins: rules that each is held to, as tests and as a score card.

    class TestWeather(PluginContract):
        plugin = Weather
        examples = {"weather.refresh": [{"city": "Oslo"}]}

Each rule has a name and a reason; a violation says file and line. `hopyard plugins verify NAME` checks what
is installed in the same way, without the rules that need examples.
"""

from __future__ import annotations

from hopyard.testing.contract import _importing, _loading, _running, _sources  # noqa: F401 - they bring rules
from hopyard.testing.contract._rules import RULES, Rule, Violation
from hopyard.testing.contract._subject import Subject

__all__ = ["RULES", "Rule", "Subject", "Violation", "check"]


def check(subject: Subject) -> dict[str, list[Violation] | None]:
    """Check all rules; return the violations by rule, None for a rule that could not be checked."""
    found: dict[str, list[Violation] | None] = {}
    enabled = True
    for name, one in RULES.items():
        skipped = (one.needs == "examples" and not subject.examples) or (not enabled and name != "loads")
        found[name] = None if skipped and one.needs in ("examples", "load") else one.check(subject)
        if name == "loads" and found[name]:
            enabled = False
    return found
