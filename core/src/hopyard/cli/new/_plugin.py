"""Putting a new plugin together from its parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from hopyard.cli.new import _texts as texts
from hopyard.errors import HopyardError
from hopyard.loading import candidates, normal_name, wrong_name

#: Names that a plugin's modules use for something else than its class.
_USED: Final = {
    *("Any", "CliRunner", "ClassVar", "DieAfter", "False", "Field", "Hop", "InvalidInput", "Iterable", "Job"),
    *(
        "Message",
        "None",
        "Notifier",
        "Path",
        "Plugin",
        "PluginContract",
        "PluginSettings",
        "Queue",
        "Rule",
        "Schedule",
        "Sequence",
        "Task",
        "Tool",
    ),
    "True",
}


def files(name: str, parts: frozenset[str]) -> dict[str, str]:
    """Return the files of a plugin's package by path. Raises `HopyardError` for a name that is not free."""
    reason = (
        wrong_name(name)
        or ("a package's name cannot end with `_`" if name.endswith("_") else "")
        or _taken(name)
    )
    if reason:
        raise HopyardError(reason)
    package = f"src/hopyard_{name}"
    made = {
        "pyproject.toml": texts.PYPROJECT,
        "README.md": _readme(parts),
        ".gitignore": texts.GITIGNORE,
        f"{package}/__init__.py": _plugin(parts),
        f"{package}/tasks.py": _tasks(parts),
        f"{package}/py.typed": "",
        "tests/conftest.py": texts.CONFTEST,
        f"tests/test_{name}.py": _tests(parts),
    }
    if "settings" in parts:
        made[f"{package}/settings.py"] = texts.SETTINGS
    if "command" in parts:
        made[f"{package}/commands.py"] = texts.COMMANDS
    if "notifier" in parts:
        made[f"{package}/notifier.py"] = texts.NOTIFIER
    if "table" in parts:
        made[f"{package}/migrations/__init__.py"] = '"""The plugin\'s tables."""\n'
        made[f"{package}/migrations/versions/0001_greetings.py"] = texts.MIGRATION
    words = {
        "name": name,
        "project": f"hopyard-{name.replace('_', '-')}",
        "package": f"hopyard_{name}",
        "scheme": name.replace("_", "-"),  # a URL's scheme has no `_` in it
        "cls": _class_name(name),
    }
    return {_filled(path, words): _filled(text, words) for path, text in made.items()}


def _taken(name: str) -> str:
    """Return why a name is an installed plugin's, or leads to its package; empty for one that is free."""
    project = f"hopyard-{name.replace('_', '-')}"
    for candidate in candidates():
        if normal_name(candidate.project) == project:
            return f"{candidate.project} is installed, and yours would replace it: take another name"
        if candidate.name == name:
            return f"{candidate.project} has a plugin `{name}` already: take another name"
    return ""


def _class_name(name: str) -> str:
    """Return a name for the plugin's class: no module uses it otherwise, and pytest takes it for no test."""
    cls = "".join(part.capitalize() for part in name.split("_"))
    if cls.startswith("Test"):
        return f"Plugin{cls}"
    return f"{cls}Plugin" if cls in _USED else cls


def write(folder: Path, made: Mapping[str, str], *, beside: bool = False) -> None:
    """Write files into a new directory, or with `beside` into one that may have others.

    Raises `HopyardError`, before anything is written, where something is there already.
    """
    if folder.exists() and not beside and (not folder.is_dir() or any(folder.iterdir())):
        raise HopyardError(f"{folder} is there already: give another directory with --into")
    for path in made:
        if (folder / path).exists():
            raise HopyardError(f"{folder / path} is there already")
    try:
        for path, text in made.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise HopyardError(f"{folder} cannot be written: {error.strerror}: {error.filename}") from error


def _filled(text: str, words: Mapping[str, str]) -> str:
    return Template(text).substitute(words)


def _plugin(parts: frozenset[str]) -> str:
    """Return the module of the plugin's class."""
    names = {"Plugin", "Queue", "Task", "hookimpl"}
    names |= {"Rule", "Schedule"} if "schedule" in parts else set()
    names |= {"Notifier"} if "notifier" in parts else set()
    settings = "settings" in parts
    names |= set() if settings else {"PluginSettings"}
    own = [("tasks", "greet")]
    own += [("commands", "greetings")] if "command" in parts else []
    own += [("notifier", "deliver")] if "notifier" in parts else []
    own += [("settings", "${cls}Settings")] if settings else []
    imports = "import click\n" if "command" in parts else ""
    imports += f"from hopyard import {', '.join(sorted(names, key=lambda one: (one[0].islower(), one)))}\n\n"
    imports += "".join(f"from ${{package}}.{module} import {name}\n" for module, name in sorted(own))
    hooks = [texts.REGISTER_QUEUES, texts.REGISTER_TASKS]
    hooks += [texts.REGISTER_SCHEDULES] if "schedule" in parts else []
    hooks += [texts.REGISTER_COMMANDS] if "command" in parts else []
    hooks += [texts.REGISTER_NOTIFIERS] if "notifier" in parts else []
    model = "${cls}Settings" if settings else "PluginSettings"
    tables = '    migrations = "${package}.migrations"\n\n' if "table" in parts else ""
    return texts.PLUGIN.format(imports=imports, model=model, tables=tables, hooks="\n".join(hooks))


def _tasks(parts: frozenset[str]) -> str:
    """Return the module of the tasks."""
    names = [
        "Job",
        *(["Tool"] if "tool" in parts else []),
        *(["storage"] if "table" in parts else []),
        "task",
    ]
    options = ", tool=Tool(read_only=True)" if "tool" in parts and "table" not in parts else ""
    options = ", tool=Tool(idempotent=True)" if "tool" in parts and "table" in parts else options
    body = texts.GREETING_FROM_SETTINGS if "settings" in parts else texts.GREETING
    body += texts.KEEP if "table" in parts else ""
    return texts.TASKS.format(names=", ".join(names), options=options, body=body)


def _tests(parts: frozenset[str]) -> str:
    """Return the tests."""
    tests = texts.TESTS
    tests += texts.TEST_SETTINGS if "settings" in parts else ""
    tests += texts.TEST_SCHEDULE if "schedule" in parts else ""
    tests += texts.TEST_TABLE if "table" in parts else ""
    tests += texts.TEST_COMMAND if "command" in parts else ""
    tests += texts.TEST_NOTIFIER if "notifier" in parts else ""
    imports = texts.test_imports(parts)
    return imports + tests + texts.CONTRACT


def _readme(parts: frozenset[str]) -> str:
    return texts.README + (texts.README_SETTINGS if "settings" in parts else "")
