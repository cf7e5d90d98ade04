"""The worker's lease, renewed from a thread and a connection of its own.

A job that blocks the event loop must not cost the others their lease; it is named in the log instead.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from hopyard import portal
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import workers
from hopyard.ledger.database import Database
from hopyard.ledger.workers import Command

log = logging.getLogger("hopyard.engine")

#: A loop that does not answer for so long is blocked by one of its tasks.
_BLOCKED_SECONDS: Final = 2.0
#: A beat that failed is tried again after so many seconds: a server that starts does not cost the lease.
_AGAIN_SECONDS: Final = 1.0


class Heartbeat:
    """Beats every `interval` seconds and reads commands on the way."""

    def __init__(
        self,
        open_database: Callable[[float], Database],
        *,
        worker: Callable[[], int],
        lease: float,
        interval: float,
        loop: asyncio.AbstractEventLoop,
        on_commands: Callable[[Sequence[Command]], None],
        on_lost: Callable[[], None],
        on_blocked: Callable[[Database, float], Awaitable[None]],
        on_end: Callable[[str, BaseException], None],
        seen: int,
    ) -> None:
        # An answer that a cut line swallowed leaves time for a beat on another connection.
        self._open = functools.partial(open_database, lease / 3)
        self._worker = worker
        self._lease = lease
        self._interval = interval
        self._loop = loop
        self._on_commands = on_commands
        self._on_lost = on_lost
        self._on_blocked = on_blocked
        self._on_end = on_end
        self._seen = seen
        self._stop = threading.Event()
        self._end: asyncio.TimerHandle | None = None
        self._until = math.inf
        self._gone = 0
        self._asked: float | None = None
        self._named = False
        self._thread = threading.Thread(target=self._run, name="hopyard-heartbeat", daemon=True)

    def start(self) -> None:
        """Start beating."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating."""
        self._stop.set()
        self._thread.join(timeout=5)

    def holds(self, worker: int) -> bool:
        """Say whether the lease under this number still runs, by this machine's clock; from any thread.

        A process that was frozen finds out here, before its timer has had a turn.
        """
        return worker != self._gone and time.monotonic() < self._until

    def _run(self) -> None:
        try:
            asyncio.run(self._beat())
        except BaseException as error:  # noqa: BLE001 - a worker without a heartbeat must not go on
            self._on_end("the heartbeat ended", error)

    async def _beat(self) -> None:
        database = self._open()
        known = set[int]()
        self._arm(time.monotonic())
        try:
            while not self._stop.is_set():
                asked, pause = time.monotonic(), self._interval
                try:
                    number = self._worker()
                    if await workers.beat(database, number):
                        self._arm(asked)
                    elif number == self._worker():  # it has not gone on under another one meanwhile
                        self._lose("others have this worker's jobs")
                    commands = await workers.commands_since(database, self._seen)
                    new = [command for command in commands if command.n not in known]
                    known = {command.n for command in commands}
                    if new:
                        self._seen = max(self._seen, commands[-1].n)
                        self._on_commands(new)
                except LedgerUnavailable as error:
                    log.warning("no heartbeat: %s", error)
                    pause = min(pause, _AGAIN_SECONDS)
                except Exception:
                    log.exception("no heartbeat")
                await self._watch_loop(database)
                await asyncio.to_thread(self._stop.wait, pause)
        finally:
            await database.close()

    def _arm(self, since: float) -> None:
        """Have the jobs stopped when the lease ends that was renewed at `since`.

        By a timer: a statement on a line that was cut comes back long after that.
        """
        if self._end is not None:
            self._end.cancel()
        loop = asyncio.get_running_loop()
        self._until = since + self._lease
        self._end = loop.call_later(self._until - time.monotonic(), self._ended)

    def _ended(self) -> None:
        self._lose(f"for {self._lease:g} s the ledger could not be told that this worker lives")
        self._arm(time.monotonic())

    def _lose(self, why: str) -> None:
        log.error("the lease was lost: %s", why)
        self._gone = self._worker()
        self._on_lost()

    async def _watch_loop(self, database: Database) -> None:
        """Name what blocks the loop on which jobs run; tell how long it has done so."""
        if self._asked is None:
            self._asked = time.monotonic()
            portal.call_soon(self._loop, self._answer)
            return
        blocked = time.monotonic() - self._asked
        if blocked <= _BLOCKED_SECONDS:
            return
        if not self._named:
            self._named = True
            log.warning("the event loop is blocked for %.1f s, by %s", blocked, self._blocking())
        try:
            await self._on_blocked(database, blocked)
        except Exception:
            log.exception("what to do about the blocked event loop failed")

    def _blocking(self) -> str:
        thread = next((t for t in threading.enumerate() if t.name == "hopyard-portal"), None)
        frame = sys._current_frames().get(thread.ident or 0) if thread else None
        where = "".join(traceback.format_stack(frame)[-3:]) if frame else "unknown"
        task = asyncio.current_task(self._loop)
        job = getattr(task, "owner", None)
        return f"{f'job {job.id} ({job.task})' if job else 'nobody known'}, at:\n{where}"

    def _answer(self) -> None:
        self._asked = None
        self._named = False
