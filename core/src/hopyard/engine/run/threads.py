"""Threads for `def` tasks.

A thread is started when none is idle, so a task that ignores its time limit keeps its thread for itself and
takes none from the others. Threads are daemons: one that never ends does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

#: An idle thread beyond so many is not kept.
_KEPT: Final = 64


@dataclass(slots=True)
class Ended:
    """How a function ended: with a value, or with an error of any kind.

    The error is kept as a value: a future refuses `StopIteration`, and asyncio treats some others as orders.
    """

    value: Any = None
    error: BaseException | None = None

    def get(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class ThreadCall:
    """A call that runs in a thread, and can be interrupted there at its next Python instruction."""

    def __init__(self, function: Callable[[], Any], ended: asyncio.Future[Ended]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self._loop = ended.get_loop()
        self.ended = ended
        self._thread: int | None = None
        self._lock = threading.Lock()

    def run(self) -> Ended:
        """Call the function, in the thread of whoever calls this."""
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return Ended(self._context.run(self._function))
        except BaseException as error:  # noqa: BLE001 - a task may raise anything: its runner decides
            return Ended(error=error)
        finally:
            with self._lock:
                self._thread = None

    def interrupt(self, kind: type[BaseException]) -> None:
        """Raise `kind` in the thread, if the call still runs."""
        with self._lock:
            if self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(kind)
                )

    def tell(self, ended: Ended) -> None:
        """Hand the outcome to the loop, from the call's thread."""
        self._loop.call_soon_threadsafe(self._resolve, ended)

    def _resolve(self, ended: Ended) -> None:
        if not self.ended.done():
            self.ended.set_result(ended)


class Threads:
    """The threads of one worker."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[ThreadCall | None]] = []
        self._lock = threading.Lock()
        self._started = 0
        self._closed = False

    def call(self, function: Callable[[], Any]) -> ThreadCall:
        """Run a function in a thread, within the caller's context; the call's `ended` is awaited."""
        call = ThreadCall(function, asyncio.get_running_loop().create_future())
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            self._started += 1
            threading.Thread(
                target=self._serve, args=(inbox,), name=f"hopyard-job-{self._started}", daemon=True
            ).start()
        inbox.put(call)
        return call

    def _serve(self, inbox: queue.SimpleQueue[ThreadCall | None]) -> None:
        process = os.getpid()
        while (call := inbox.get()) is not None:
            ended = self._interruptible(call)
            if os.getpid() != process:  # the task forked, and the child came back: it is no worker
                os._exit(0)
            with self._lock:
                kept = not self._closed and len(self._idle) < _KEPT
                if kept:
                    self._idle.append(inbox)
            call.tell(ended)
            del call, ended  # an idle thread keeps nothing of the job's alive
            if not kept:
                return

    @staticmethod
    def _interruptible(call: ThreadCall) -> Ended:
        """Run a call; an interrupt that arrives just behind its end is the call's, too."""
        ended = Ended(error=RuntimeError("the thread was interrupted before the task began"))
        try:
            ended = call.run()
            # An interrupt is raised at the next instruction of Python: give it one here, not in the next job.
            for _ in range(2):
                pass
        except BaseException as error:  # noqa: BLE001 - what was raised into the thread is the call's outcome
            if ended.error is not None:
                return Ended(error=error)
        return ended

    def close(self) -> None:
        """Let the idle threads go."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)
