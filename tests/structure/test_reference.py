"""The reference has everything that there is: nothing public is added without being told."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
import hopyard
import pytest
from hopyard import errors, hookspecs
from hopyard.cli import main
from hopyard.cli._options import GlobalOption
from hopyard.loading import installed_names
from hopyard.settings import Settings
from hopyard.testing.contract import RULES
from hopyard_reference import MARK, PAGES
from hopyard_reference._api import SPECS
from hopyard_reference._words import as_markdown, signature
from pages import DOCS

TEXTS = {name: write() for name, write in PAGES.items()}


def headings(page: str) -> list[str]:
    """Return what a page's headings name."""
    return re.findall(r"^#+ `([^`]+)`$", TEXTS[page], re.MULTILINE)


def test_each_page_has_its_place() -> None:
    found = {path.stem for path in (DOCS / "reference").glob("*.md")}
    assert found == set(PAGES)
    assert [name for name in PAGES if (DOCS / "reference" / f"{name}.md").read_text().count(MARK) != 1] == []


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_told_twice_in_a_section(page: str) -> None:
    """A name has one heading; below another module it may be another thing."""
    for section in re.split(r"^## ", TEXTS[page], flags=re.MULTILINE):
        found = re.findall(r"^### `([^`]+)`$", section, re.MULTILINE)
        assert len(found) == len(set(found)), page


def test_all_hooks() -> None:
    specified = [
        name
        for subject in vars(hookspecs).values()
        if inspect.isclass(subject)
        for name, function in vars(subject).items()
        if hasattr(function, "hopyard_spec")
    ]
    assert len(specified) > 20
    assert set(specified) <= set(headings("hooks"))
    assert "register_tools" in headings("hooks")  # of a plugin
    for section in re.split(r"^### ", TEXTS["hooks"], flags=re.MULTILINE)[1:]:
        for fact in ("caller", "process", "thread", "time limit", "an exception, a hang, a wrong value"):
            assert re.search(rf"^\| {fact} \| \S+", section, re.MULTILINE), (section, fact)
        name = section.split("`")[1]
        assert re.search(rf"def {name}\(\s*self", section)


def test_what_differs_is_said_of_hooks_that_there_are() -> None:
    hooks = {name for subject in hookspecs.SUBJECTS for name in vars(subject)}
    assert set(hookspecs.EXCEPTIONS) <= hooks


def test_the_limits_of_hooks_are_those_of_the_code() -> None:
    from hopyard.engine.run.wrapping import WRAP_SECONDS
    from hopyard.loading import _callers, _loader, _telling

    limits = {
        hookspecs.Collect: _loader.TIME_LIMIT,
        hookspecs.Process: Settings().worker.start_limit,
        hookspecs.Decide: _callers.DECIDE_SECONDS,
        hookspecs.Wrap: WRAP_SECONDS,
        hookspecs.Notify: _telling.NOTIFY_SECONDS,
    }
    assert set(limits) == set(hookspecs.SUBJECTS)
    for subject, seconds in limits.items():
        assert f"{seconds:g} s" in subject.facts.time_limit
    assert f"up to {_telling._BATCH:,} events" in hookspecs.Notify.facts.caller
    assert _callers.FAILURES == 10  # "ten in a row"


def test_all_values() -> None:
    for module in SPECS:
        for name, value in vars(import_module(module)).items():
            if inspect.isclass(value) and value.__module__.startswith(SPECS) and not name.startswith("_"):
                assert name in headings("specs"), f"{module}.{name}"
                for parameter in getattr(value, "__dataclass_fields__", ()):
                    assert re.search(rf"\b{parameter}: ", TEXTS["specs"]), f"{name}.{parameter}"


def test_all_settings() -> None:
    """The JSON Schema that editors use is the other list of them."""
    from hopyard.settings import schema

    document = schema({})
    definitions = document["$defs"]

    def walk(node: dict[str, Any], key: str) -> Iterator[str]:
        while "$ref" in node or "anyOf" in node:
            node = (
                definitions[node["$ref"].rpartition("/")[2]]
                if "$ref" in node
                else next(({**one} for one in node["anyOf"] if one.get("$ref")), {})
            )
        for name, inner in node.get("properties", {}).items():
            own = f"{key}.{name}" if key else name
            yield own
            yield from walk(inner, own)
        more = node.get("additionalProperties")
        if isinstance(more, dict):
            yield from walk(more, f"{key}.NAME")

    found = [*walk(document, "")]
    assert len(found) > 40
    for key in found:
        row = re.search(
            rf"^\| `{re.escape(key)}` \| `(\S+)` \| \S.* \| .* \| \S.* \|$", TEXTS["settings"], re.MULTILINE
        )
        assert row is not None, f"{key} is missing, or has no description"


def test_all_settings_of_plugins() -> None:
    from hopyard_ai.settings import AISettings
    from hopyard_maintenance import MaintenanceSettings

    for plugin, model in (("ai", AISettings), ("maintenance", MaintenanceSettings)):
        for name in model.model_fields:
            found = rf"`plugins\.{plugin}\.settings\.{name}` \| `{f'HOPYARD_{plugin}__{name}'.upper()}` \|"
            assert re.search(rf"^\| {found} .* \| \S[^|]* \|$", TEXTS["settings"], re.MULTILINE), name


@pytest.mark.parametrize("key", ["worker.lease", "tasks.NAME.retry.on", "plugins.ai.settings.model"])
def test_a_variable_sets_what_it_says(key: str, tmp_path: Any) -> None:
    from hopyard import settings

    found = re.search(rf"^\| `{re.escape(key)}` \| `(\S+)` \|", TEXTS["settings"], re.MULTILINE)
    assert found is not None
    variable = found[1].replace("NAME", "AI__ACT")
    value = {"worker.lease": "30", "tasks.NAME.retry.on": '["bug"]'}.get(key, "local:extractive")
    loaded = settings.load(environ={variable: value}, directory=tmp_path, plugin_names=["ai"])
    parts = {"tasks.NAME.retry.on": ("tasks", "ai.act", "retry", "on")}.get(key, tuple(key.split(".")))
    assert loaded.source(*parts) == f"environment variable {variable}"


def commands(context: click.Context, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(click.Context(inner, parent=context, info_name=name), inner)


def test_all_commands_and_options() -> None:
    """As the command line itself lists them, with those of the plugins."""
    found = dict(commands(click.Context(main, info_name="hopyard"), main))
    del found["hopyard"]
    for plugin in installed_names():
        if not any(words.startswith(f"hopyard {plugin} ") for words in found):
            del found[f"hopyard {plugin}"]  # it has none
    assert set(headings("commands")) == set(found)
    sections = re.split(r"^#+ ", TEXTS["commands"], flags=re.MULTILINE)
    for words, command in found.items():
        (section,) = [one for one in sections if one.startswith(f"`{words}`\n")]
        for option in command.params:
            if (
                isinstance(option, click.Option)
                and not isinstance(option, GlobalOption)
                and not option.hidden
            ):
                assert option.opts[-1] in section, f"{words} {option.opts}"
            if isinstance(option, GlobalOption):
                assert option.opts[-1] in TEXTS["commands"]


def test_all_public_names() -> None:
    sections = {
        one.partition("`\n")[0].strip("`"): one for one in re.split(r"^## ", TEXTS["api"], flags=re.MULTILINE)
    }
    for module in ("hopyard", *hopyard.PUBLIC_MODULES):
        names = getattr(import_module(module), "__all__", ())
        for name in names:
            assert f"### `{name}`\n" in sections[module], f"{module}.{name}"
        assert names or module == "hopyard.errors"


def test_values_are_told_with_their_fields() -> None:
    for told in (
        "TaskEvent(\n    kind: TaskEventKind,",
        "PluginEvent(plugin: str, ",
        "Queue(\n    name: str,",
    ):
        assert told in TEXTS["specs"], told


def test_public_methods_are_told() -> None:
    for method in ("Job.save", "Job.effect", "Task.submit", "JobHandle.result", "Hop.run", "Egress.request"):
        assert f"{method}(" in TEXTS["api"], method


def test_all_rules_of_the_contract() -> None:
    assert len(RULES) > 20
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.reason} |" in TEXTS["contract"]


def test_all_errors() -> None:
    raised = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, Exception)]
    for error in raised:
        assert error.__name__ in headings("errors")
        assert re.search(rf"[─ ]{error.__name__}\b|^{error.__name__}$", errors.__doc__ or "", re.MULTILINE)


def test_indented_parts_of_docstrings_are_code() -> None:
    assert as_markdown("Say.\n\n    a = 1\n\nMore.") == "Say.\n\n```\na = 1\n```\n\nMore.\n"


def test_signatures_are_as_they_are_declared() -> None:
    async def long(self: int, first: str, /, *rest: int, last: bool = False, **more: str) -> None: ...

    assert signature("long", long) == (
        "async def long(self: int, first: str, /, *rest: int, last: bool = False, **more: str) -> None"
    )
    assert signature("long", long, method=True).startswith("async def long(first: str, /, *rest")
