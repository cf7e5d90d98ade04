"""Calling a plugin's function for a thread that must not wait for it long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

_Answer = SimpleQueue[tuple[Any, BaseException | None]]
_Inbox = SimpleQueue[tuple[Callable[[], Any], _Answer]]

#: Threads that wait for work. One that hangs in a call never comes back here.
_idle: list[_Inbox] = []
os.register_at_fork(after_in_child=_idle.clear)


class TookTooLong(Exception):
    """A call has not returned in time; its thread is left behind."""


def bounded(function: Callable[[], Any], seconds: float) -> tuple[Any, BaseException | None]:
    """Return what a function returns or raises within so many seconds. Raises `TookTooLong`."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), name="hopyard-hook", daemon=True).start()
    answer: _Answer = SimpleQueue()
    inbox.put((function, answer))
    try:
        ended = answer.get(timeout=seconds)
    except Empty:
        raise TookTooLong from None
    _idle.append(inbox)
    return ended


def _serve(inbox: _Inbox) -> None:
    while True:
        function, answer = inbox.get()
        try:
            answer.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - carried to the caller
            answer.put((None, error))
        del function, answer  # an idle thread keeps nothing alive
