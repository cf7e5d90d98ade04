"""Markdown for what code says of itself: docstrings, signatures, tables."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, ForwardRef

#: Signatures longer than this are written one parameter a line.
_WIDTH = 96
#: A line such as `cron    five fields or an alias`.
_COLUMNS = re.compile(r"(\w+) {2,}(\S.*)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def code(text: str, language: str = "python") -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def said(thing: Any) -> str:
    """Return a docstring as Markdown; empty where there is none of its own."""
    text = inspect.getdoc(thing) or ""
    if dataclasses.is_dataclass(thing) and text.startswith(f"{getattr(thing, '__name__', '')}("):
        return ""  # made by the decorator
    return as_markdown(text)


def as_markdown(text: str) -> str:
    """Return a docstring's text as Markdown: what is indented is code, words in columns are a list."""
    lines, out, block = text.splitlines(), list[str](), list[str]()
    for line in [*lines, ""]:
        if line.startswith("    "):
            block.append(line)
            continue
        if block:
            out += ["```", *textwrap.dedent("\n".join(block)).strip("\n").splitlines(), "```"]
            block = []
        columns = _COLUMNS.fullmatch(line)
        out.append(f"- `{columns[1]}`: {columns[2]}" if columns else line)
    return "\n".join(out).strip() + "\n" if "".join(out).strip() else ""


def signature(name: str, function: Any, *, method: bool = False) -> str:
    """Return how a function is declared, with its types as its source has them."""
    found = inspect.signature(function)
    parameters = [*found.parameters.values()]
    if method and parameters and parameters[0].name in ("self", "cls", "_cls"):
        parameters = parameters[1:]
    shown = [*_parameters(parameters)]
    returns = (
        "" if found.return_annotation is inspect.Signature.empty else f" -> {_type(found.return_annotation)}"
    )
    prefix = "async def " if inspect.iscoroutinefunction(function) else "def "
    one = f"{prefix}{name}({', '.join(shown)}){returns}"
    if len(one) <= _WIDTH:
        return one
    return f"{prefix}{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){returns}"


def constructor(name: str, cls: type) -> str:
    """Return how a class is made, as a block of code."""
    made = signature(name, vars(cls)[maker(cls)], method=True)
    return code(made.removeprefix("def ").removesuffix(" -> None"))


def maker(cls: type) -> str:
    """Return the name of the method that makes a class's values; empty if it has none of its own."""
    if "_fields" in vars(cls):  # a named tuple
        return "__new__"
    return "__init__" if "__init__" in vars(cls) else ""


def _parameters(parameters: Sequence[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for n, one in enumerate(parameters):
        if one.kind is one.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        if one.kind is one.VAR_POSITIONAL:
            starred = True
        stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        typed = "" if one.annotation is one.empty else f": {_type(one.annotation)}"
        default = "" if one.default is one.empty else (" = " if typed else "=") + _default(one.default)
        yield f"{stars}{one.name}{typed}{default}"
        last = n + 1 == len(parameters) or parameters[n + 1].kind is not one.POSITIONAL_ONLY
        if one.kind is one.POSITIONAL_ONLY and last:
            yield "/"


def _type(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):  # a named tuple's
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(_default(one) for one in value)) + "}"
    text = repr(value)
    return "..." if text.startswith("<") else text


def attribute_words(cls: type) -> dict[str, str]:
    """Return what stands below the attributes of a class, or after `#:` above them, by name."""
    found: dict[str, str] = {}
    for base in reversed([one for one in cls.__mro__ if one.__module__.startswith("hopyard")]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError, ValueError):  # made without a source
            continue
        body = getattr(tree, "body", [])
        lines = textwrap.dedent(inspect.getsource(base)).splitlines()
        for one in body:
            above = lines[one.lineno - 2].strip()
            if (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and above.startswith("#: ")
            ):
                found[one.target.id] = above.removeprefix("#: ")
        for one, after in pairwise(body):
            text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(text, str):
                found[one.target.id] = inspect.cleandoc(text)
    return found
