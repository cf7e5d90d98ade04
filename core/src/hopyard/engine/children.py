"""Child processes for `pool="process"` tasks: one job at a time each, JSON lines over pipes.

A child is a fresh interpreter, so that no thread, loop or connection crosses a fork; its death is seen at
once, with its exit signal, and a time limit or a cancel ends in a kill.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hopyard.errors import HopyardError, ResourceError, TimeLimitExceeded
from hopyard.ledger.values import Claim, Progress, moment, utcnow

if TYPE_CHECKING:
    from hopyard.tasks.job import Host

log = logging.getLogger("hopyard.engine")

#: A line carries a job's arguments, result or checkpoint, each up to a megabyte.
_LINE_BYTES = 8_000_000


class RemoteError(HopyardError):
    """An error that a task raised in a child, as text."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.kind = str(described["kind"])
        self.category = str(described["category"])
        self.retry_after: float | None = described.get("retry_after")
        self.remote_traceback = str(described["traceback"])
        super().__init__(str(described["message"]))


class Children:
    """Idle children are kept for the next job; they are started when first needed."""

    def __init__(self, host: Host, environment: Mapping[str, str]) -> None:
        self._host = host
        self._environment = {**os.environ, **environment}
        self._idle: list[asyncio.subprocess.Process] = []

    async def run(self, claim: Claim, checkpoint: Mapping[str, Any], worker: int, limit: float) -> str:
        """Run a job in a child; return its result as JSON text.

        Raises `RemoteError` for what the task raised, `TimeLimitExceeded`, or `ResourceError` if the child
        died.
        """
        child = self._take_idle() or await self._start()
        try:
            async with asyncio.timeout(limit):
                answer = await self._converse(child, claim, checkpoint, worker)
        except TimeoutError:
            await _kill(child)
            raise TimeLimitExceeded(f"{claim.task} ran longer than its time limit of {limit:g} s") from None
        except BaseException:
            await _kill(child)
            raise
        self._idle.append(child)
        if "error" in answer:
            raise RemoteError(answer["error"])
        return str(answer["result"])

    def _take_idle(self) -> asyncio.subprocess.Process | None:
        """Return an idle child that still lives."""
        while self._idle:
            child = self._idle.pop()
            if child.returncode is None:
                return child
        return None

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hopyard.engine.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=_LINE_BYTES,
        )

    async def _converse(
        self, child: asyncio.subprocess.Process, claim: Claim, checkpoint: Mapping[str, Any], worker: int
    ) -> dict[str, Any]:
        assert child.stdin is not None  # noqa: S101 - both were asked for
        assert child.stdout is not None  # noqa: S101
        order = {"claim": claim._asdict(), "checkpoint": checkpoint, "worker": worker}
        try:
            child.stdin.write(json.dumps(order, default=str).encode() + b"\n")
            await child.stdin.drain()
            while line := await child.stdout.readline():
                said = json.loads(line)
                if "progress" in said:
                    current, total, message = said["progress"]
                    self._host.note(Progress(claim.id, current, total, message, utcnow()))
                    continue
                return dict(said)
        except ConnectionError as error:
            log.warning("the child of %s closed its pipe: %s", claim.id, error)
        code = await child.wait()
        raise ResourceError(f"the process that ran {claim.task} died: {_death(code)}")

    async def close(self) -> None:
        """End all idle children."""
        for child in self._idle:
            await _kill(child)
        self._idle.clear()


async def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


def _death(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def claim_from(values: dict[str, Any]) -> Claim:
    """Return the claim that `Children` sent as JSON."""
    from datetime import datetime

    for name in ("created", "due"):
        if values[name] is not None:
            values[name] = moment(datetime.fromisoformat(values[name]))
    return Claim(**values)
