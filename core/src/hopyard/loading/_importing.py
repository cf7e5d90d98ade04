"""Imports plugin classes, so that whatever their code does ends only them."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from hopyard import files
from hopyard.errors import PluginError
from hopyard.loading._discovery import Candidate
from hopyard.loading._records import Failure
from hopyard.plugin import Plugin
from hopyard.redaction import redact

SITE_MODULE = "hopfile"
_PATIENCE = 2.0

logger = logging.getLogger("hopyard.notice")  # told also where a command prints what failed itself


def import_class(candidate: Candidate) -> type[Plugin[Any]]:
    """Import the class that an entry point names and check that it is a plugin."""
    target = candidate.target
    if target is None:
        target = _load(candidate)
    if not (isinstance(target, type) and issubclass(target, Plugin)) or target is Plugin:
        raise Failure(
            "class",
            f"`{candidate.value or target!r}` is no subclass of hopyard.plugin.Plugin",
            f'let the entry point name the plugin\'s class: {candidate.name} = "package:Class"',
        )
    return _checked(target)


def _checked(target: type[Plugin[Any]]) -> type[Plugin[Any]]:
    """Return a plugin's class. Raises Failure where what it says of itself is of another type."""
    for attribute in ("requires", "after"):
        names = getattr(target, attribute)
        if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
            raise Failure(
                "class",
                f"`{target.__name__}.{attribute}` is {names!r}, expected a tuple of plugin names",
                f'write it as {attribute} = ("name",)',
            )
    if not isinstance(target.migrations, str | None):
        raise Failure(
            "class",
            f"`{target.__name__}.migrations` is {target.migrations!r}, expected a package's name",
            f'write it as migrations = "{target.__module__}.migrations"',
        )
    return target


def import_site(path: Path) -> type[Plugin[Any]]:
    """Import a `hopfile.py` and return its one plugin class."""
    # Compiled from the source each time: bytecode is cached by size and second, and a site edits its file.
    loader = importlib.machinery.SourceFileLoader(SITE_MODULE, str(path))
    spec = importlib.util.spec_from_file_location(SITE_MODULE, path, loader=loader)
    if spec is None:
        raise Failure("import", f"{path} is no Python file", "name it hopfile.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[SITE_MODULE] = module
    try:
        code = loader.source_to_code(files.read(path, files.MAX_SOURCE), str(path))
        exec(code, vars(module))  # noqa: S102 - what an import does
    except BaseException as error:
        del sys.modules[SITE_MODULE]
        pass_interrupt(error)
        raise _import_failure(error, str(path)) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == SITE_MODULE
    ]
    if len(found) != 1:
        names = ", ".join(value.__name__ for value in found) or "none"
        raise Failure(
            "class",
            f"{path} has {len(found)} plugin classes ({names}), expected one",
            "write one class in it that subclasses hopyard.plugin.Plugin",
        )
    return _checked(found[0])


def pass_interrupt(error: BaseException) -> None:
    """Raise a person's Ctrl-C again: it ends the command, where everything else ends one plugin."""
    if isinstance(error, KeyboardInterrupt):
        raise error


@contextmanager
def announced(plugin: str, what: str) -> Iterator[None]:
    """Say so in the log if a step of loading takes longer than two seconds, and how long it took."""

    def say() -> None:
        logger.warning("plugin %s: %s takes longer than %g s; waiting for it", plugin, what, _PATIENCE)

    timer = threading.Timer(_PATIENCE, say)
    timer.daemon = True
    began = time.monotonic()
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        took = time.monotonic() - began
        if took > _PATIENCE:
            logger.warning("plugin %s: %s took %.1f s", plugin, what, took)


def traceback_text(error: BaseException) -> str:
    """The traceback of an error, without secrets."""
    return redact("".join(traceback.format_exception(error)))


def error_text(error: BaseException) -> str:
    """An error in one line, without secrets."""
    text = " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _load(candidate: Candidate) -> Any:
    module, _, attribute = (part.strip() for part in candidate.value.partition(":"))
    if not module or not attribute:
        raise Failure(
            "import",
            f"the entry point's value `{candidate.value}` names no class",
            f'write it as {candidate.name} = "package:Class"',
        )
    try:
        imported = importlib.import_module(module)
    except BaseException as error:
        pass_interrupt(error)
        raise _import_failure(error, module) from error
    try:
        return attrgetter(attribute)(imported)
    except BaseException as error:  # a module's `__getattr__` may raise anything
        pass_interrupt(error)
        raise Failure(
            "import",
            f"`{module}` has no `{attribute}` ({error_text(error)})",
            f"let the entry point `{candidate.name}` of {candidate.project} name an existing class",
            traceback=traceback_text(error),
        ) from error


def _import_failure(error: BaseException, where: str) -> Failure:
    if isinstance(error, PluginError) and error.hint:
        return Failure("import", str(error), error.hint, traceback=traceback_text(error))
    line = _line(error, where)
    if isinstance(error, SystemExit):
        reason = f"`{where}` called sys.exit({error.code!r}) while it was imported"
        hint = "a plugin's module must not end the process; move that code into a hook"
    elif isinstance(error, ModuleNotFoundError) and error.name and not where.startswith(error.name):
        reason = f"`{where}` cannot be imported: there is no module `{error.name}`"
        hint = f"install what provides `{error.name}`, and add it to the plugin's requirements"
    else:
        reason = f"`{where}` cannot be imported: {error_text(error)}"
        hint = f"`python -c 'import {where}'` shows the traceback"
    if where.endswith(".py"):
        hint = f"mend {where}; the traceback is in `hopyard plugins --json`"
    reason = f"{reason} (at {line})" if line else reason
    return Failure("import", reason, hint, traceback=traceback_text(error))


def _line(error: BaseException, where: str) -> str:
    """Return the file and line of the plugin, whose module or file is `where`, that led to an error."""
    package = SITE_MODULE if where.endswith(".py") else where.partition(".")[0]
    if isinstance(error, SyntaxError) and Path(error.filename or "<").is_file() and error.lineno:
        return _short(error.filename or "", error.lineno, package)
    lines = [
        _short(frame.f_code.co_filename, number, package)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return lines[-1] if lines else ""


def _short(file: str, line: int, package: str) -> str:
    """Return `hopyard_weather/tasks.py:12`: a whole path would leave no room for the reason."""
    parts = Path(file).parts
    within = parts[parts.index(package) :] if package in parts else parts[-1:]
    return f"{'/'.join(within)}:{line}"
