"""Child processes for `pool="process"` tasks: one job at a time each, JSON lines over a socket.

A child is a fresh interpreter, so that no thread, loop or connection crosses a fork; its death is seen at
once, with its exit signal, and a time limit or a cancel ends in a kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hopyard.engine.processes.process import Process, ProcessDied
from hopyard.errors import HopyardError, JobCancelled, StaleFence, TimeLimitExceeded
from hopyard.ledger.read.logs import LogLine
from hopyard.ledger.values import Claim, Progress, moment, utcnow

if TYPE_CHECKING:
    from hopyard.tasks.job import Host

log = logging.getLogger("hopyard.engine")

#: Tells a child that its job was cancelled.
CANCEL = signal.SIGUSR1


class RemoteError(HopyardError):
    """An error that a task raised in a child, as text."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.kind = str(described["kind"])
        self.category = str(described["category"])
        self.retry_after: float | None = described.get("retry_after")
        self.remote_traceback = str(described["traceback"])
        super().__init__(str(described["message"]))


class ProcessPool:
    """Idle children are kept for the next job; they are started when first needed.

    A cancelled job has `cancel_grace` seconds to end by itself. `logged` is told what jobs log.
    """

    def __init__(
        self,
        host: Host,
        environment: Mapping[str, str],
        cancel_grace: float = 5.0,
        logged: Callable[[LogLine], None] = lambda line: None,
    ) -> None:
        self._host = host
        self._environment = {**os.environ, **environment}
        self._grace = cancel_grace
        self._logged = logged
        self._idle: list[Process] = []

    async def run(self, claim: Claim, checkpoint: Mapping[str, Any], worker: int, limit: float) -> str:
        """Run a job in a child; return its result as JSON text.

        Raises `RemoteError` for what the task raised, `TimeLimitExceeded`, or `ProcessDied`. Cancelled, it
        asks a job that was told to stop, and kills it after the grace time.
        """
        child = await self._take_idle() or await Process.start(self._environment)
        try:
            async with child.busy(), asyncio.timeout(limit):
                answer = await self._converse(child, claim, checkpoint, worker)
        except TimeoutError:
            await child.kill()
            raise TimeLimitExceeded(f"{claim.task} ran longer than its time limit of {limit:g} s") from None
        except asyncio.CancelledError:
            try:
                await self._ask_to_stop(child, claim)
            finally:
                await child.kill()
            raise
        except BaseException:
            await child.kill()
            raise
        self._idle.append(child)
        if "error" in answer:
            raise RemoteError(answer["error"])
        return str(answer["result"])

    async def _take_idle(self) -> Process | None:
        """Return an idle child that still lives."""
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                return child
            await child.kill()
        return None

    async def _converse(
        self, child: Process, claim: Claim, checkpoint: Mapping[str, Any], worker: int
    ) -> dict[str, Any]:
        order = {"claim": claim._asdict(), "checkpoint": checkpoint, "worker": worker}
        try:
            child.writer.write(json.dumps(order, default=str).encode() + b"\n")
            await child.writer.drain()
            answer = await self._answer(child, claim)
            if answer is not None:
                return answer
        except ConnectionError as error:
            log.warning("the child of %s closed its line: %s", claim.id, error)
        evidence = await child.death()
        raise ProcessDied(f"the process that ran {claim.task} died: {evidence['exit']}", evidence)

    async def _answer(self, child: Process, claim: Claim) -> dict[str, Any] | None:
        """Take progress until the job's end; return what the child says of that, None if it says nothing.

        Each line names its job and claim. What is said of others, by what an earlier job left running, is no
        answer.
        """
        async with contextlib.AsyncExitStack() as waiting:
            while line := await child.line():
                try:
                    said = json.loads(line)
                    ours = said["job"] == claim.id and said["claim"] == claim.claim
                except (ValueError, TypeError, KeyError):
                    ours = False
                if not ours:
                    log.error("the child of %s said what is no answer: %r", claim.id, line[:200])
                elif "memory" in said:
                    child.memory = said["memory"]
                elif "waits" in said:
                    await waiting.aclose()
                    if said["waits"]:
                        await waiting.enter_async_context(self._host.release_slot(claim.id))
                elif "log" in said:
                    n, at, level, text = said["log"]
                    self._logged(LogLine(claim.id, n, datetime.fromtimestamp(at, UTC), level, text))
                elif "progress" in said:
                    current, total, message = said["progress"]
                    self._host.note(Progress(claim.id, current, total, message, utcnow()))
                else:
                    return dict(said)
        return None

    async def _ask_to_stop(self, child: Process, claim: Claim) -> None:
        """Let a job that was cancelled end by itself; one that was taken away or handed back has no time.

        Raises `CancelledError` with what is to be told of a job that has to be killed.
        """
        try:
            self._host.check(claim.id, claim.claim)
        except JobCancelled:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(CANCEL)
        except StaleFence:
            return
        else:
            return
        try:
            # Not `asyncio.timeout`: in a cancelled task it ends unheard before Python 3.11.3 (gh-102780).
            await asyncio.wait_for(self._answer(child, claim), self._grace)
        except TimeoutError:
            raise asyncio.CancelledError(
                f"it did not stop within {self._grace:g} s: its process was killed"
            ) from None

    async def close(self) -> None:
        """End all idle children."""
        for child in self._idle:
            await child.kill()
        self._idle.clear()


def claim_from(values: dict[str, Any]) -> Claim:
    """Return the claim that `ProcessPool` sent as JSON."""
    from datetime import datetime

    for name in ("created", "due"):
        if values[name] is not None:
            values[name] = moment(datetime.fromisoformat(values[name]))
    return Claim(**values)
