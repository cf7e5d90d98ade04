"""Who implements the hooks that are called again and again, and what happens to one that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hopyard.checks import shown
from hopyard.events import NOTIFY_HOOKS
from hopyard.loading._bounded import TookTooLong, bounded
from hopyard.loading._importing import error_text

if TYPE_CHECKING:
    from hopyard.loading._hooks import Hooks

logger = logging.getLogger("hopyard.loading")

#: Failures in a row that switch a hook off.
FAILURES: Final = 10
#: Who submits, or records a failed attempt, waits no longer for an answer.
DECIDE_SECONDS: Final = 1.0


class Caller(NamedTuple):
    """One plugin's implementation of a hook."""

    plugin: str
    hook: str
    function: Callable[..., Any]
    names: tuple[str, ...]

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Call it with those of the hook's arguments that it takes."""
        return self.function(*map(arguments.__getitem__, self.names))


class Callers:
    """The implementations of hooks, looked up once.

    `noted(plugin, failures, off)` writes the record of a plugin whose hook failed.
    """

    def __init__(self, hooks: Hooks, noted: Callable[[str, int, Mapping[str, str]], None]) -> None:
        self._hooks = hooks
        self._noted = noted
        self._of: dict[str, tuple[Caller, ...]] = {}
        self._lock = threading.Lock()
        #: By plugin and hook: failures since it last worked.
        self._in_a_row: dict[tuple[str, str], int] = {}
        self._failures: dict[str, int] = {}
        self._off: dict[str, dict[str, str]] = {}
        #: Told of a plugin whose hook was switched off, and why, from any thread.
        self.switched_off: Callable[[str, str], None] = lambda plugin, reason: None

    def resolve(self) -> None:
        """Look all hooks up anew: a plugin has come or gone."""
        self._of.clear()

    def of(self, hook: str) -> tuple[Caller, ...]:
        """Return who implements a hook, in the order in which they are asked."""
        found = self._of.get(hook)
        if found is None:
            found = self._of[hook] = tuple(
                caller for caller in self._hooks.callers(hook) if hook not in self._off.get(caller.plugin, ())
            )
        return found

    def decide(
        self, hook: str, arguments: Mapping[str, Any], *, first: str, answer: type[Any], seconds: float | None
    ) -> Any:
        """Return the first answer, asking the plugin `first` before the others; None if nobody has one.

        An error, a wrong answer and none within `seconds` (None: no limit) count as no answer and are logged.
        """
        for caller in sorted(self.of(hook), key=lambda caller: caller.plugin != first):
            try:
                result, error = _asked(partial(caller.call, arguments), seconds)
            except TookTooLong:
                self.hung(caller, seconds or 0)
                continue
            if error is None and result is not None and not isinstance(result, answer):
                error = TypeError(f"it returned {_shown(result)}, not a {answer.__name__}")
            if error is not None:  # a broken opinion must not decide over a job
                self.failed(caller, error, instead="it counts as no answer", limit=None)
            elif result is not None:
                return result
        return None

    def failed(
        self, caller: Caller, error: BaseException, *, instead: str, limit: int | None = FAILURES
    ) -> None:
        """Log and count a failure; after `limit` in a row (None: never) the hook is switched off."""
        key, text = (caller.plugin, caller.hook), _text(error)
        with self._lock:
            row = self._in_a_row[key] = self._in_a_row.get(key, 0) + 1
            self._failures[caller.plugin] = self._failures.get(caller.plugin, 0) + 1
        logger.error(
            "plugin %s: `%s` raised %s: %s",
            *(caller.plugin, caller.hook, text, instead),
            exc_info=error if row == 1 else None,
        )
        if limit is not None and row >= limit:
            self._switch_off(caller, f"it failed {row} times in a row, the last time with {text}")
        else:
            self._note(caller.plugin)

    def hung(self, caller: Caller, seconds: float) -> None:
        """Switch a hook off that has not returned in time: its thread is lost."""
        with self._lock:
            self._failures[caller.plugin] = self._failures.get(caller.plugin, 0) + 1
        self._switch_off(caller, f"it had not returned after {seconds:g} s")

    def worked(self, caller: Caller) -> None:
        """Say that a call went well: failures are counted anew."""
        if self._in_a_row:
            with self._lock:
                self._in_a_row.pop((caller.plugin, caller.hook), None)

    def _switch_off(self, caller: Caller, why: str) -> None:
        """All notify hooks of a plugin go together: they share a thread and a fate."""
        group: Collection[str] = NOTIFY_HOOKS if caller.hook in NOTIFY_HOOKS else (caller.hook,)
        reason = f"`{caller.hook}`: {why}"
        with self._lock:
            off = self._off.setdefault(caller.plugin, {})
            new = [hook for hook in group if hook not in off]
            off.update(dict.fromkeys(new, reason))
        if not new:
            return
        logger.error("plugin %s: %s: %s is switched off", caller.plugin, reason, _listed(group))
        self._note(caller.plugin)
        self.switched_off(caller.plugin, f"{reason}: {_listed(group)} is switched off in one process")

    def _note(self, plugin: str) -> None:
        self._noted(plugin, self._failures.get(plugin, 0), dict(self._off.get(plugin, {})))


def _asked(call: Callable[[], Any], seconds: float | None) -> tuple[Any, BaseException | None]:
    if seconds is not None:
        return bounded(call, seconds)
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - carried to the caller
        return None, error


def _text(error: BaseException) -> str:
    try:
        return error_text(error)
    except BaseException:  # noqa: BLE001 - its own code may do anything; its name says enough
        return type(error).__name__


def _listed(hooks: Iterable[str]) -> str:
    names = [*hooks]
    return f"`{names[0]}`" if len(names) == 1 else "each of its notify hooks"


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {shown(value)}"
