"""One event loop in one thread per process, by which plain code calls asynchronous functions."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from hopyard.errors import HopyardError

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0
_thread: threading.Thread | None = None


def loop() -> asyncio.AbstractEventLoop:
    """Return the portal's loop, started on first use; a forked child gets one of its own."""
    global _loop, _pid, _thread
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop = asyncio.new_event_loop()
            _pid = os.getpid()
            _thread = threading.Thread(target=_loop.run_forever, name="hopyard-portal", daemon=True)
            _thread.start()
        return _loop


def run(coroutine: Coroutine[Any, Any, T], *, within_loop: bool = False) -> T:
    """Run a coroutine on the portal's loop and wait for it.

    Raises `HopyardError` when called from a running event loop, which it would block; `within_loop` allows
    that for calls whose Celery twins block as well, on any loop but the portal's own, where a worker's
    `async def` tasks run: there it would wait for itself.
    """
    if threading.current_thread() is _thread:
        coroutine.close()
        raise HopyardError(
            "this call would wait for the event loop that it runs on: await `submit` instead, or call it "
            "in a thread (`await asyncio.to_thread(…)`)"
        )
    if not within_loop:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise HopyardError(
                "a `.sync` call would block the running event loop: await the call without `.sync`"
            )
    return asyncio.run_coroutine_threadsafe(coroutine, loop()).result()
