"""The Hopyard of this process: made on first use by whoever registered how (the package itself does)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_lock = threading.RLock()
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


def made() -> bool:
    """Whether there is an instance already, which `get` would not have to make."""
    return _instance is not None


def get() -> Any:
    """Return the `hopyard.app.Hopyard` of this process. Raises `ConfigError` if settings are faulty."""
    global _instance
    with _lock:
        if _instance is None:
            if _factory is None:
                raise RuntimeError("import hopyard before you use its tasks")
            _instance = _factory()
        return _instance
