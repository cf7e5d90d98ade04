"""Every public name: of the package, of the values that hooks return, and of the public modules."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import hopyard

from hopyard_reference._words import (
    as_markdown,
    attribute_words,
    code,
    constructor,
    maker,
    said,
    signature,
    table,
)

#: Modules of the values that hooks return and are given.
SPECS = (
    "hopyard.specs",
    "hopyard.retry",
    "hopyard.rules",
    "hopyard.events",
    "hopyard.routing",
    "hopyard.panels",
)

#: What has no docstring of its own, since it is no class and no function.
_UNWRITTEN = {
    "hookimpl": "Marks a method of a plugin's class as its implementation of the hook of that name.\n",
    "hookspec": "Marks a method of a class as a hook that other plugins may implement: `Plugin.hookspecs`.\n",
}

#: Classes that plugins are given, and do not make.
_MADE_ELSEWHERE = {
    "Context",
    "Dialect",
    "Job",
    "JobHandle",
    "Plugin",
    "PluginSettings",
    "Stored",
    "Transaction",
}


def page() -> str:
    """Return the page of what is imported from `hopyard` and its public modules."""
    parts = ["## `hopyard`\n"]
    values = {name for name, _ in specs()}
    for name in hopyard.__all__:
        if name in values:
            parts.append(f"### `{name}`\n\nA value: see [](specs.md#{name.lower()}).\n")
        else:
            parts.append(_entry(name, getattr(hopyard, name)))
    for module in hopyard.PUBLIC_MODULES:
        if module == "hopyard.errors":
            parts.append("## `hopyard.errors`\n\nSee [](errors.md).\n")
            continue
        parts.append(f"## `{module}`\n\n{said(import_module(module))}")
        parts += [_entry(name, value) for name, value in names(module)]
    return "\n".join(parts)


def specs_page() -> str:
    """Return the page of the values that hooks return and are given."""
    return "\n".join(_entry(name, value).replace("### ", "## ", 1) for name, value in specs())


def names(module: str) -> list[tuple[str, Any]]:
    """Return the public names of a module, with what they are."""
    found = import_module(module)
    return [(name, getattr(found, name)) for name in found.__all__]


def specs() -> Iterator[tuple[str, Any]]:
    """Yield the classes of values, by name."""
    seen = {}
    for module in SPECS:
        found = import_module(module)
        for name in getattr(found, "__all__", vars(found)):
            value = getattr(found, name)
            if inspect.isclass(value) and value.__module__.startswith(SPECS) and not name.startswith("_"):
                seen[name] = value
    yield from sorted(seen.items())


def _entry(name: str, value: Any) -> str:
    if inspect.isclass(value):
        return _class(name, value)
    if inspect.isroutine(value):
        return f"### `{name}`\n\n{code(signature(name, value))}\n{said(value)}"
    return f"### `{name}`\n\n{_UNWRITTEN.get(name) or code(_shown(name, value))}"


def _shown(name: str, value: Any) -> str:
    text = repr(value)
    return (
        f"{name}: {type(value).__name__}" if text.startswith("<") or len(text) > 400 else f"{name} = {text}"
    )


def _class(name: str, cls: type) -> str:
    parts = [f"### `{name}`\n"]
    if issubclass(cls, enum.Enum):
        return "\n".join(
            [*parts, said(cls), code("\n".join(f"{name}.{one.name} = {one.value!r}" for one in cls))]
        )
    made_by = next((one for one in cls.__mro__ if maker(one) and _ours(one)), None)
    told = made_by is not None and name not in _MADE_ELSEWHERE and not issubclass(cls, BaseException)
    if made_by is not None and told:
        parts.append(constructor(name, made_by))
    parts.append(said(cls))
    if made_by is not None and told and "__init__" in vars(made_by) and not dataclasses.is_dataclass(cls):
        parts.append(as_markdown(inspect.cleandoc(vars(made_by)["__init__"].__doc__ or "")))
    if words := attribute_words(cls):
        parts.append(table(("attribute", "what"), [(f"`{key}`", text) for key, text in words.items()]))
    parts += [_member(name, key, value) for key, value in members(cls)]
    return "\n".join(parts)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield a class's public methods and properties, with those of bases that have no entry of their own."""
    seen = dict[str, Any]()
    for base in reversed([one for one in cls.__mro__ if _ours(one)]):
        if base is cls or not _public(base):
            seen |= {key: value for key, value in vars(base).items() if not key.startswith("_")}
    foreign = [one for one in cls.__mro__ if not _ours(one) and one is not object]
    for key, value in seen.items():
        if any(key in vars(one) for one in foreign):  # for another library's use
            continue
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(plain) or isinstance(value, property):
            yield key, value


def _member(owner: str, name: str, value: Any) -> str:
    if isinstance(value, property):
        returns = inspect.signature(value.fget).return_annotation if value.fget else "Any"
        return f"{code(f'{owner}.{name}: {returns}')}\n{said(value)}"
    plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    how = "@classmethod\n" if isinstance(value, classmethod) else ""
    return f"{code(how + signature(f'{owner}.{name}', plain, method=True))}\n{said(plain)}"


def _ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "hopyard"


def _public(cls: type) -> bool:
    """Say whether a class is a public name."""
    modules = map(import_module, ("hopyard", *hopyard.PUBLIC_MODULES))
    return any(getattr(module, cls.__name__, None) is cls for module in modules)
