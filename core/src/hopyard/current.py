"""The Hopyard of this process: made on first use by whoever registered how (the package itself does)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from hopyard.errors import PluginError

_lock = threading.RLock()
_here: ContextVar[Any] = ContextVar("hopyard_here", default=None)
_forbidden: ContextVar[str] = ContextVar("hopyard_forbidden", default="")
_factory: Callable[[], Any] | None = None
_instance: Any = None


def set_factory(factory: Callable[[], Any]) -> None:
    """Say how the instance is made when it is first asked for."""
    global _factory
    _factory = factory


def set_instance(instance: Any) -> None:
    """Make `instance` the one of this process; None forgets the present one."""
    global _instance
    _instance = instance


def use(instance: Any) -> None:
    """Make `instance` the one of this context: a process may serve several."""
    _here.set(instance)


def peek() -> Any:
    """Return the instance if there is one; None otherwise."""
    return _instance


def made() -> bool:
    """Whether there is an instance already, which `get` would not have to make."""
    return _instance is not None


def forbid(hook: str) -> None:
    """Say that this context belongs to a hook, which may be called while plugins are loaded."""
    _forbidden.set(hook)


def get() -> Any:
    """Return the `hopyard.app.Hopyard` of this process.

    Raises `ConfigError` if settings are faulty, `PluginError` in a hook that is called while plugins are
    loaded: then there is none yet, and waiting for it would be waiting for itself.
    """
    global _instance
    here = _here.get()
    if here is not None:
        return here
    if _instance is not None:  # asked for with each call of a task
        return _instance
    if _forbidden.get():
        raise PluginError(
            f"`{_forbidden.get()}` asks for this process's Hopyard, which comes after all plugins",
            stage=_forbidden.get(),
            hint="take `self.settings`, or ask in `start_process` or in a task",
        )
    with _lock:
        if _instance is None:
            if _factory is None:
                raise RuntimeError("import hopyard before you use its tasks")
            _instance = _factory()
        return _instance
