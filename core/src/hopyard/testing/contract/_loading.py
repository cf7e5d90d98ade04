"""Rules about what a plugin declares: looked at as the loader takes it, without running a task."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import SecretBytes, SecretStr

from hopyard import rules
from hopyard.errors import HopyardError
from hopyard.hookspecs import Collect
from hopyard.ledger.values import utcnow
from hopyard.loading import SITE
from hopyard.specs import tool_name
from hopyard.testing.contract._rules import Violation, at, rule
from hopyard.testing.contract._subject import Subject

#: What a hook that returns data may take, in seconds; the loader gives it 5.
HOOK_SECONDS: Final = 1.0
_SECRET_NAMES: Final = re.compile(
    r"(?!max_|min_)(.*_)?(passwords?|passwd|secrets?|tokens?|api_?keys?|private_keys?|credentials?)"
)
#: Of JSON Schema: what tools' parameters may not use, since not all providers take it.
_NOT_AT_THE_TOP: Final = ("anyOf", "oneOf", "allOf", "not", "enum")


@rule("loads", "what the loader refuses nobody can use", "load")
def _loads(subject: Subject) -> Iterator[Violation]:
    for fault in subject.setting_faults:
        yield Violation(f"the contract's settings: {fault}")
    record = subject.record
    if record.state != "enabled":
        hint = f"; {record.hint}" if record.hint else ""
        for place in _places(subject, record.reason):
            yield Violation(f"{record.state} at the stage `{record.stage}`: {record.reason}{hint}", *place)
            return
    for left in record.left_out:
        yield at(subject.cls, f"left out: {left}")
    for warning in subject.loaded.warnings:
        yield at(subject.cls, f"{warning.key}: found {warning.found}, expected {warning.expected}")


def _places(subject: Subject, reason: str) -> Iterator[tuple[str, int]]:
    """Yield where to look for what a reason names, the best place first: a literal, a function, the class."""
    names = re.findall(r"`([^`]+)`", reason)
    for source in subject.sources:
        for node in ast.walk(source.tree):
            if (isinstance(node, ast.Constant) and node.value in names and isinstance(node.value, str)) or (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names
            ):
                yield source.shown, node.lineno
    place = at(subject.cls, "")
    yield place.file, place.line


@rule("hooks-quick", "hooks that return data are called at each start, one plugin after the other", "load")
def _hooks_quick(subject: Subject) -> Iterator[Violation]:
    instance = subject.loaded.get(subject.name)
    for name in [name for name in vars(Collect) if name.startswith("register_")]:
        hook = getattr(instance, name, None)
        if hook is None or len(inspect.signature(hook).parameters):
            continue
        began = time.perf_counter()
        [*hook()]
        seconds = time.perf_counter() - began
        if seconds > HOOK_SECONDS:
            yield at(hook, f"`{name}` takes {seconds:.1f} s, more than {HOOK_SECONDS:g} s")


@rule(
    "settings-documented",
    "operators see the settings by their descriptions, and must not see secrets",
    "load",
)
def _settings_documented(subject: Subject) -> Iterator[Violation]:
    model = subject.cls.settings_model()
    for name, field in model.model_fields.items():
        if not field.description:
            yield _field(subject, model, name, f"the setting `{name}` has no description")
        secret = _mentions(field.annotation, (SecretStr, SecretBytes))
        if _SECRET_NAMES.fullmatch(name) and _mentions(field.annotation, (str, bytes)) and not secret:
            yield _field(subject, model, name, f"the setting `{name}` holds a secret: make it a SecretStr")


def _field(subject: Subject, model: type[Any], name: str, message: str) -> Violation:
    for source in subject.sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and node.name == model.__name__:
                for line in node.body:
                    if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == name:
                        return Violation(message, source.shown, line.lineno)
    return at(model, message)


def _mentions(annotation: Any, types: tuple[type, ...]) -> bool:
    if annotation in types:
        return True
    return any(_mentions(part, types) for part in getattr(annotation, "__args__", ()))


@rule("documented", "the first line of a docstring is what `hopyard tasks`, people and models read", "load")
def _documented(subject: Subject) -> Iterator[Violation]:
    if not subject.cls.__dict__.get("__doc__"):
        yield at(subject.cls, f"{subject.cls.__name__} has no docstring")
    for task in subject.tasks:
        if not task.doc:
            yield at(task.function, f"the task {task.name} has no docstring")
    for command in subject.loaded.commands(subject.name):
        if not (command.help or command.short_help):
            yield at(command.callback or subject.cls, f"the command `{command.name}` has no help")


@rule("tools", "providers refuse tools without a description, or with a schema that they do not know", "load")
def _tools(subject: Subject) -> Iterator[Violation]:
    for task in [task for task in subject.tasks if task.tool is not None]:
        described = task.tool.description or task.doc
        if len(described.split()) < 3:
            yield at(
                task.function, f"the tool {task.name} says of itself only {described!r}: say what it does"
            )
        if len(task.name.replace(".", "__")) > 64:
            yield at(task.function, f"the tool's name is longer than 64 letters: {tool_name(task.name)}…")
        schema = task.payload.schema()
        for key in _NOT_AT_THE_TOP:
            if key in schema:
                yield at(
                    task.function, f"the schema of {task.name} has `{key}` at its top, which providers refuse"
                )
        for where in _untyped(schema):
            yield at(
                task.function,
                f"the tool {task.name}: `{where}` has no type, so a model cannot know what to give",
            )
        if _recursive(schema):
            yield at(task.function, f"the schema of {task.name} contains itself, which providers refuse")


def _untyped(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, part in (schema.get("properties") or {}).items():
        if not set(part) & {"type", "$ref", "anyOf", "allOf", "oneOf", "enum", "const"}:
            yield name


def _recursive(schema: Mapping[str, Any]) -> bool:
    definitions = schema.get("$defs", {})

    def reaches(part: Any, above: tuple[str, ...]) -> bool:
        if isinstance(part, Mapping):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name:
                return name in above or reaches(definitions.get(name, {}), (*above, name))
            return any(reaches(one, above) for key, one in part.items() if key != "$defs")
        return isinstance(part, list) and any(reaches(one, above) for one in part)

    return reaches(schema, ())


@rule("schedules", "a schedule that never fires, or fires a job that cannot run, helps nobody", "load")
def _schedules(subject: Subject) -> Iterator[Violation]:
    loaded = subject.loaded
    for schedule in loaded.schedules.values():
        if schedule.declared_by != subject.name:
            continue
        task = loaded.tasks.get(schedule.task)
        if task is not None:
            try:
                task.check_arguments(schedule.kwargs)
            except HopyardError as error:
                yield at(subject.cls, f"the schedule {schedule.name}: {error}")
        if schedule.rule.after is None and rules.next_after(schedule.rule, utcnow()) is None:
            yield at(subject.cls, f"the schedule {schedule.name} is never due again")


@rule("metadata", "people find, judge and install a plugin by what its package says of itself", "load")
def _metadata(subject: Subject) -> Iterator[Violation]:
    if subject.name == SITE:  # a hopfile is in no package
        return
    distribution = subject.distribution
    if distribution is None:
        yield at(
            subject.cls, f"no installed package has the entry point `{subject.name}` of the group `hopyard`"
        )
        return
    told = distribution.metadata
    name = told["Name"]
    if not told.get("Summary"):
        yield Violation("has no `description`", f"{name}: pyproject.toml")
    if not (told.get("License-Expression") or told.get("License") or _licensed(told)):
        yield Violation("has no `license`", f"{name}: pyproject.toml")
    if not told.get("Requires-Python"):
        yield Violation("has no `requires-python`", f"{name}: pyproject.toml")
    wants = [one for one in distribution.requires or () if re.match(r"hopyard\b(?!-)", one)]
    if not wants:
        yield Violation("does not depend on `hopyard`", f"{name}: pyproject.toml")
    elif not any("<" in one or "~=" in one or "==" in one for one in wants):
        yield Violation(f"depends on `{wants[0]}`: say up to which release", f"{name}: pyproject.toml")
    if hasattr(sys.modules[subject.package], "__path__") and not _typed(subject):
        yield Violation(
            "has no `py.typed`, so nobody's type checker looks at it", f"{name}: {subject.package}"
        )


def _licensed(told: Any) -> bool:
    return any(one.startswith("License ::") for one in told.get_all("Classifier") or ())


def _typed(subject: Subject) -> bool:
    return any((source.path.parent / "py.typed").exists() for source in subject.sources)
