"""Telling plugins what happened: a bounded queue and a thread for each plugin that wants to know."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from hopyard.events import NOTIFY_HOOKS, TASK_EVENTS, Event, hook_of
from hopyard.loading._callers import Caller, Callers

logger = logging.getLogger("hopyard.loading")

#: Events that wait for one plugin; more are dropped.
ROOM: Final = 10_000
#: Events that one call is told of at most.
_BATCH: Final = 1_000
#: A notify hook that takes longer is given up, with its thread.
NOTIFY_SECONDS: Final = 30.0
#: So long it waits for more, in seconds, so that a busy worker calls it with long lists.
_GATHER: Final = 0.02
#: At the end of the process, what is still to be told may take so long.
_ENDING_SECONDS: Final = 2.0


class EventTeller:
    """Hands events to the plugins that implement notify hooks. `tell` never waits and never raises."""

    def __init__(self, callers: Callers, dropped: Callable[[str, int], None]) -> None:
        self._callers = callers
        self._dropped = dropped
        self._queues: dict[str, _PluginQueue] = {}
        self._process = os.getpid()
        self._lock = threading.Lock()
        #: Told that events of a plugin were dropped, and how many by now: with the first, then now and then.
        self.overflowed: Callable[[str, int], None] = lambda plugin, dropped: None
        #: Kinds of task events that somebody wants to know of.
        self.kinds: frozenset[str] = frozenset()
        #: Plugins that listen, with the hooks that they implement.
        self._listeners: dict[str, set[str]] = {}

    def resolve(self) -> None:
        """Look up anew who listens: a plugin has come or gone, or was switched off."""
        self._listeners = {}
        for hook in NOTIFY_HOOKS:
            for caller in self._callers.of(hook):
                self._listeners.setdefault(caller.plugin, set()).add(hook)
        hooks = set[str]().union(*self._listeners.values())
        everything = "on_event" in hooks
        self.kinds = frozenset(kind for kind in TASK_EVENTS if everything or f"on_task_{kind}" in hooks)

    def tell(self, events: Sequence[Event]) -> None:
        """Queue events for everybody who implements a hook for them."""
        if not events:
            return
        if self._process != os.getpid():  # forked: the threads stayed behind
            self._queues, self._lock, self._process = {}, threading.Lock(), os.getpid()
        for plugin, hooks in self._listeners.items():
            wanted = events if "on_event" in hooks else [one for one in events if hook_of(one) in hooks]
            if wanted:
                self._queue(plugin).put(wanted)

    def _queue(self, plugin: str) -> _PluginQueue:
        with self._lock:
            found = self._queues.get(plugin)
            if found is None:
                if not self._queues:
                    atexit.register(self.close)
                found = self._queues[plugin] = _PluginQueue(
                    plugin, self._callers, self._dropped, lambda dropped: self.overflowed(plugin, dropped)
                )
            return found

    def close(self, seconds: float = _ENDING_SECONDS) -> None:
        """Wait until all is told that was queued, at most so many seconds."""
        atexit.unregister(self.close)
        if self._process != os.getpid():
            return
        deadline = time.monotonic() + seconds
        for queue in [*self._queues.values()]:
            queue.settle(deadline)


class _PluginQueue:
    """The events that wait for one plugin."""

    def __init__(
        self,
        plugin: str,
        callers: Callers,
        dropped: Callable[[str, int], None],
        overflowed: Callable[[int], None],
    ) -> None:
        self._plugin = plugin
        self._overflowed = overflowed
        self._callers = callers
        self._tell_dropped = dropped
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._thread: threading.Thread | None = None
        #: The call that runs now, and since when.
        self._calling: tuple[Caller, float] | None = None
        self._busy = False

    def put(self, events: Sequence[Event]) -> None:
        with self._changed:
            fitting = events[: max(0, ROOM - len(self._events))]
            self._events.extend(fitting)
            lost = len(events) - len(fitting)
            before, self._dropped = self._dropped, self._dropped + lost
            calling = self._calling
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name=f"hopyard-notify-{self._plugin}", daemon=True
                )
                self._thread.start()
            if not self._busy:  # else it looks by itself when it is done
                self._changed.notify_all()
        if lost:
            self._tell_dropped(self._plugin, before + lost)
            if before.bit_length() != (before + lost).bit_length():  # once for each doubling
                logger.warning(
                    "plugin %s is too slow for its events: %d were not told", self._plugin, before + lost
                )
                self._overflowed(before + lost)
        if calling is not None and time.monotonic() - calling[1] > NOTIFY_SECONDS:
            self._callers.hung(calling[0], NOTIFY_SECONDS)

    def settle(self, deadline: float) -> None:
        """Wait until nothing is left to tell, or until the deadline."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._events and not self._busy, max(0.0, deadline - time.monotonic())
            )

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                while not self._events:
                    self._changed.wait()
                self._busy = True
            time.sleep(_GATHER)
            with self._changed:
                batch = [self._events.popleft() for _ in range(min(_BATCH, len(self._events)))]
            self._tell(batch)

    def _tell(self, batch: list[Event]) -> None:
        by_hook: dict[str, list[Event]] = {"on_event": batch}
        for event in batch:
            by_hook.setdefault(hook_of(event), []).append(event)
        for hook in NOTIFY_HOOKS:
            for caller in self._callers.of(hook) if hook in by_hook else ():
                if caller.plugin == self._plugin:
                    self._call(caller, by_hook[hook])

    def _call(self, caller: Caller, events: Sequence[Event]) -> None:
        self._calling = (caller, time.monotonic())
        try:
            caller.call({"events": tuple(events)})
        except BaseException as error:  # noqa: BLE001 - logged and counted: it touches nothing else
            self._callers.failed(caller, error, instead=f"{len(events)} events are lost")
        else:
            self._callers.worked(caller)
        finally:
            self._calling = None
