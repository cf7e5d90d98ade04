"""Asking functions of plugins for what they find: each in a thread and an event loop of its own.

One that blocks holds up nobody else, and is not started again while it still blocks, so that threads and
connections do not add up.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from hopyard import current
from hopyard.redaction import redact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a function returned; or None and why there is no answer, without secrets. `seconds` it took."""

    value: T | None
    fault: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Hanging:
    thread: threading.Thread
    since: float


#: The latest run of each function that did not end in time, by what it is.
_hanging: Final[dict[str, _Hanging]] = {}


async def ask(what: str, function: Callable[[], Any], kind: type[T], seconds: float) -> Answer[T]:
    """Return what a function, plain or `async def`, answers within so many seconds: a value of `kind`.

    `what` names it among all, such as `health check sync.connections`. Whatever it raises is its fault.
    """
    started = time.monotonic()
    hanging = _hanging.get(what)
    if hanging is not None and hanging.thread.is_alive():
        for_ = started - hanging.since
        fault = f"its last run still hangs, for {for_:.0f} s now: it is not started again before that ends"
        return Answer(None, fault)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer[T]] = loop.create_future()
    work = partial(_in_thread, function, kind, seconds, loop, answer)
    run = partial(contextvars.copy_context().run, work)
    # A daemon: Python does not wait for it at the end of the process.
    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    try:
        async with asyncio.timeout(seconds):
            found = await answer
    except TimeoutError:
        found = Answer(None, f"no answer within {seconds:g} s")
        _hanging[what] = _Hanging(thread, started)
    return Answer(found.value, found.fault, round(time.monotonic() - started, 3))


def _in_thread(
    function: Callable[[], Any],
    kind: type[T],
    seconds: float,
    loop: asyncio.AbstractEventLoop,
    answer: asyncio.Future[Answer[T]],
) -> None:
    try:
        found = Answer(asyncio.run(_asked(function, kind, seconds)))
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is its answer
        found = Answer(None, redact(f"{type(error).__name__}: {error}"))
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for this answer any more
        loop.call_soon_threadsafe(_give, answer, found)


async def _asked(function: Callable[[], Any], kind: type[T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            found = function()
            if inspect.isawaitable(found):
                found = await found
        if not isinstance(found, kind):
            raise TypeError(f"it returned {found!r:.80}, expected a {kind.__name__}")
        return found
    finally:
        if current.made():
            await current.get().close()  # the connections that it has opened on this loop


def _give(answer: asyncio.Future[Answer[T]], found: Answer[T]) -> None:
    if not answer.done():
        answer.set_result(found)
