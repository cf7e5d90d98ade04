"""The contract as a test class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from hopyard import checks
from hopyard.plugin import Plugin
from hopyard.testing._site import name_of
from hopyard.testing.contract import RULES, Subject

__all__ = ["PluginContract"]


class PluginContract:
    """A plugin's tests subclass this: each rule is a test.

    `settings` are as in the settings file; `examples` arguments by task with which it may be called in a
    test, any number each; `left_out` rules that do not hold, each with the reason.
    """

    plugin: ClassVar[type[Plugin[Any]]]
    name: ClassVar[str | None] = None
    """By which the plugin is installed; needed where it is not."""
    settings: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = {}
    left_out: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Raise `SpecError` for a `plugin` that is no plugin's class: once, instead of in each test."""
        super().__init_subclass__()
        if "plugin" in vars(cls):
            _check_plugin(cls.__name__, cls.plugin)

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls) -> Subject:
        """What the rules look at."""
        return Subject(cls.name or name_of(cls.plugin), cls.plugin, cls.settings, cls.examples)

    @pytest.mark.parametrize("rule", [*RULES])
    def test_rule(self, rule: str, subject: Subject) -> None:
        """Hold the plugin to one rule."""
        one = RULES[rule]
        if rule in self.left_out:
            pytest.skip(f"left out: {self.left_out[rule]}")
        if one.needs == "examples" and not self.examples:
            pytest.skip("it needs `examples`")
        if one.needs in ("load", "examples") and rule != "loads" and subject.record.state != "enabled":
            pytest.skip("the plugin does not load: see the rule `loads`")
        found = one.check(subject)
        if found:
            told = "\n".join(f"  {violation}" for violation in found)
            pytest.fail(f"{rule}: {one.reason}\n{told}", pytrace=False)


def _check_plugin(contract: str, plugin: Any) -> None:
    if isinstance(plugin, type) and issubclass(plugin, Plugin):
        return
    expected = "the plugin's class: `plugin = Weather`"
    if isinstance(plugin, Mapping) and len(plugin) == 1:
        ((name, cls),) = plugin.items()
        expected = f'`plugin = {getattr(cls, "__name__", cls)}` and `name = "{name}"`'
    checks.refuse(f"{contract}: plugin", plugin, expected)
