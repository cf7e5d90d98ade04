"""Hooks of plugins, each called so that an error or a hang ends only that plugin."""

from __future__ import annotations

import contextvars
import inspect
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import pluggy

from hopyard import current
from hopyard.checks import nearest
from hopyard.errors import PluginError, SpecError
from hopyard.hookspecs import PROJECT, SUBJECTS
from hopyard.loading._callers import Caller
from hopyard.loading._importing import error_text, traceback_text
from hopyard.loading._records import Failure
from hopyard.plugin import Plugin
from hopyard.redaction import redact

Result = TypeVar("Result")

logger = logging.getLogger("hopyard.loading")


class Hooks:
    """The hook specifications, and the implementations of the plugins that are registered."""

    def __init__(self, time_limit: float) -> None:
        self.time_limit = time_limit
        self._manager = pluggy.PluginManager(PROJECT)
        self._owners: dict[str, str] = {}
        for subject in SUBJECTS:
            self._add(subject, "hopyard")

    def add_specs(self, name: str, cls: type[Plugin[Any]]) -> None:
        """Add a plugin's own specifications; Failure where another one owns a hook of that name."""
        if cls.hookspecs is None:
            return
        for hook in _marked(cls.hookspecs, f"{PROJECT}_spec"):
            if hook in self._owners:
                owner = self._owners[hook]
                reason = f"its hook specification `{hook}` is taken by {owner}"
                raise Failure("hookspecs", reason, "give the hook another name")
        try:
            self._add(cls.hookspecs, name)
        except Exception as error:  # whatever the class is, pluggy refuses it in its own way
            reason = f"its hook specifications cannot be used: {error_text(error)}"
            raise Failure(
                "hookspecs",
                reason,
                "let `hookspecs` be a class of @hookspec methods",
                traceback=traceback_text(error),
            ) from error

    def check(self, cls: type[Plugin[Any]], *, all_known: bool) -> None:
        """Raise Failure where a class implements what no specification asks for.

        `all_known` is False where the specifications of some installed plugin could not be read: then a
        hook that resembles none may be one of its, and is let pass.
        """
        for name, function in _marked(cls, f"{PROJECT}_impl").items():
            options = getattr(function, f"{PROJECT}_impl")
            hook = options.get("specname") or name
            if hook not in self._owners:
                self._unknown(
                    cls, hook, all_known or options.get("optionalhook"), options.get("optionalhook")
                )
            elif inspect.iscoroutinefunction(function):
                raise Failure("hooks", f"`{name}` is `async def`", "hooks are plain functions: write `def`")
            elif options.get("wrapper") or options.get("hookwrapper"):
                raise Failure(
                    "hooks", f"`{name}` is a hook wrapper", "take `wrapper=True` away: it answers for itself"
                )

    def register(self, name: str, plugin: Plugin[Any]) -> None:
        """Take part in hook calls from now on."""
        try:
            self._manager.register(plugin, name)
        except pluggy.PluginValidationError as error:
            self.unregister(name)
            reason = " ".join(str(error).split())
            raise Failure("hooks", reason, "name only arguments that the hook's specification has") from error

    def unregister(self, name: str) -> None:
        """Take no part any more."""
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def implemented(self, hook: str) -> list[str]:
        """Names of plugins that implement a hook, in the order in which they would be asked."""
        return [implementation.plugin_name for implementation in self._implementations(hook)]

    def owned(self) -> list[str]:
        """Names of the hooks that plugins specify to collect data: those that begin with `register_`."""
        names = [hook for hook, owner in self._owners.items() if owner != "hopyard"]
        return [hook for hook in names if hook.startswith("register_")]

    def contributions(self, hook: str, plugin: str) -> list[Any]:
        """What a plugin's collect hook returns; empty if it has none. Failure if it raises or hangs."""
        for implementation in self._implementations(hook):
            if implementation.plugin_name == plugin:
                return timed(partial(_listed, hook, implementation.function), self.time_limit, hook)
        return []

    def start(self, plugin: str, role: str, seconds: float) -> None:
        """Call a plugin's `start_process`. Failure if it raises, or has not returned after `seconds`."""
        arguments = {"role": role}
        hint = "let it begin slow work in a thread or a task of its own, or raise `worker.start_limit`"
        timed(lambda: self.call("start_process", plugin, arguments), seconds, "start_process", hint)

    def call(self, hook: str, plugin: str, arguments: Mapping[str, Any]) -> Any:
        """Call one plugin's implementation; whatever it raises reaches the caller."""
        for implementation in self._implementations(hook):
            if implementation.plugin_name == plugin:
                return implementation.function(*(arguments[name] for name in implementation.argnames))
        return None

    def callers(self, hook: str) -> list[Caller]:
        """Return the implementations of a hook, in the order in which they are asked."""
        return [
            Caller(found.plugin_name, hook, found.function, tuple(found.argnames))
            for found in self._implementations(hook)
        ]

    def _add(self, subject: type, owner: str) -> None:
        self._manager.add_hookspecs(subject)
        self._owners.update(dict.fromkeys(_marked(subject, f"{PROJECT}_spec"), owner))

    def _implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        caller = getattr(self._manager.hook, hook, None)
        if caller is not None:
            yield from reversed(caller.get_hookimpls())

    def _unknown(self, cls: type[Plugin[Any]], hook: str, all_known: bool, optional: bool) -> None:
        close = nearest(hook, self._owners)
        if optional:
            return
        if close is None and not all_known:
            logger.warning("%s implements `%s`, a hook of no plugin that could be read", cls.__name__, hook)
            return
        hint = (
            f"did you mean `{close}`?"
            if close
            else "a hook of a plugin that may be absent: optionalhook=True"
        )
        raise Failure("hooks", f"there is no hook `{hook}`", hint)


_WAITS = "it must return data without waiting; move slow work into start_process or a task"


def timed(function: Callable[[], Result], seconds: float, what: str, hint: str = _WAITS) -> Result:
    """Call in a thread of its own; Failure if it raises, or if it has not ended after `seconds`.

    A thread that hangs is left behind: it is a daemon, and its result is dropped.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - carried to the caller, who makes it the plugin's failure
            errors.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name=f"hopyard-{what}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Failure(
            what,
            f"`{what}` has not returned after {seconds:g} s",
            hint,
            traceback=_where(thread),
        )
    if errors:
        raise raised(what, errors[0]) from errors[0]
    return results[0]


def raised(what: str, error: BaseException) -> Failure:
    """The failure of a hook that raised."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, SpecError):  # says which value, what was found and what was expected
        return Failure(what, str(error), f"mend {_line(error, what)}", traceback=traceback_text(error))
    if isinstance(error, PluginError):
        return Failure(error.stage, str(error), error.hint, traceback=traceback_text(error))
    return Failure(
        what,
        f"`{what}` raised {error_text(error)}",
        f"mend the plugin's {what}; the traceback is in `hopyard plugins --json`",
        traceback=traceback_text(error),
    )


def _line(error: BaseException, what: str) -> str:
    """Return the file and line of the plugin that led to an error, or what was called."""
    core = os.path.dirname(os.path.dirname(__file__))
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((core, "<"))]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else f"the plugin's {what}"


def _listed(hook: str, function: Callable[[], Any]) -> list[Any]:
    current.forbid(hook)
    value = function()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        hint = "return a list; it may be empty"
        raise Failure(hook, f"`{hook}` returned {type(value).__name__}, expected a list", hint)
    return list(value)


def _marked(cls: type, attribute: str) -> dict[str, Any]:
    """Functions of a class that carry a pluggy marker, by name; looks at them without calling properties."""
    found = {}
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        function = getattr(value, "__func__", value)
        if inspect.isroutine(function) and hasattr(function, attribute):
            found[name] = function
    return found


def _where(thread: threading.Thread) -> str:
    """Where a thread is right now."""
    frame = sys._current_frames().get(thread.ident or 0)
    return redact("".join(traceback.format_stack(frame))) if frame else ""
