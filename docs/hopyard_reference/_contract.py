"""The rules of the contract of plugins."""

from __future__ import annotations

from hopyard.testing.contract import RULES

from hopyard_reference._words import table

_NEEDS = {
    "sources": "its sources",
    "import": "importing it",
    "load": "loading it",
    "examples": "`examples` of arguments",
}


def page() -> str:
    """Return the page's text."""
    rows = [(f"`{rule.name}`", rule.reason, _NEEDS[rule.needs]) for rule in RULES.values()]
    return table(("rule", "why", "checked by"), rows)
