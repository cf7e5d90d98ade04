"""One event loop in one thread per process, by which plain code calls asynchronous functions.

In a worker the same loop runs the `async def` tasks. What one of them does to the loop costs that task only:
a task that exits, stops the loop, cancels what is not its own, or forks, does not end the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from hopyard.errors import HopyardError

log = logging.getLogger("hopyard.portal")

T = TypeVar("T")

#: The job that runs here, whoever asks; `hopyard.tasks.job.current_job` is the same variable with its type.
owner: ContextVar[Any] = ContextVar("hopyard_job", default=None)
#: A context without a job: for what serves all jobs, whichever of them happens to start it.
NOBODY: Final = contextvars.Context()

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0
_thread: threading.Thread | None = None


class OwnedTask(asyncio.Task[Any]):
    """A task that no other job can cancel.

    `asyncio.all_tasks()` shows a job everything that runs on the loop. Here only its own tasks obey it.
    """

    owner: Any = None
    """The job that it belongs to, if any."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task; False, and a word in the log, if a job asks that it does not belong to."""
        asking = owner.get()
        if asking is not None and asking is not self.owner:
            log.warning("job %s tried to cancel what is not its own: %s", asking.id, self.get_name())
            return False
        return super().cancel(msg)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task = OwnedTask(coroutine, loop=loop, **options)
    context = options.get("context")
    task.owner = owner.get() if context is None else context.get(owner)
    return task


def loop() -> asyncio.AbstractEventLoop:
    """Return the portal's loop, started on first use; a forked child gets one of its own."""
    global _loop, _pid, _thread
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop = asyncio.new_event_loop()
            _loop.set_task_factory(_make_task)
            _pid = os.getpid()
            _thread = threading.Thread(target=_serve, args=(_loop,), name="hopyard-portal", daemon=True)
            _thread.start()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop for as long as the process lives.

    asyncio lets `SystemExit` and `KeyboardInterrupt` of any task end the loop, after it has handed them to
    whoever awaits the task; any task may also stop the loop.
    """
    while True:
        try:
            loop.run_forever()
            _say("a task stopped the event loop: it goes on")
        except (SystemExit, KeyboardInterrupt) as error:
            _say(f"a task tried to end the process: {type(error).__name__}")


def _say(what: str) -> None:
    try:
        log.error("%s", what)
    except BaseException:  # noqa: BLE001 - a log handler that a task has left here must not end the loop
        os.write(2, f"{what}; the log cannot be written\n".encode())


def spawn(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start work that serves all jobs on the running loop, so that no job owns or can cancel it."""
    # Not by the loop's `create_task`, which would look for an owner.
    return OwnedTask(coroutine, loop=asyncio.get_running_loop(), context=NOBODY.copy())


def call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: Any) -> None:
    """Call a function on a loop, from any thread, on nobody's behalf."""
    loop.call_soon_threadsafe(call, *args, context=NOBODY.copy())


def cut(transport: asyncio.BaseTransport) -> None:
    """End a connection whose loop is closed: the other side is told, and gives up what it holds for us."""
    line = transport.get_extra_info("socket")
    if line is not None:
        with contextlib.suppress(OSError):  # it is closed already
            line.shutdown(socket.SHUT_RDWR)


def on_portal() -> bool:
    """Say whether this is the loop's own thread."""
    return threading.current_thread() is _thread


def run(coroutine: Coroutine[Any, Any, T], *, within_loop: bool = False) -> T:
    """Run a coroutine on the portal's loop and wait for it.

    Raises `HopyardError` when called from a running event loop, which it would block; `within_loop` allows
    that for calls whose Celery twins block as well, on any loop but the portal's own, where a worker's
    `async def` tasks run: there it would wait for itself.
    """
    if on_portal():
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


def _forked() -> None:
    """End a child that was forked on the loop, as soon as it would go on with the loop's work.

    It shares the parent's sockets. Code that forks and exits by itself (`os._exit`, `exec`) is not hindered.
    """
    if _loop is None or not on_portal():
        return
    ready = getattr(_loop, "_ready", None)
    if ready is not None:
        ready.clear()
    _loop.call_soon(os._exit, 0)


os.register_at_fork(after_in_child=_forked)
