"""The child process of `pool="process"` tasks: reads jobs from standard input, answers on standard output."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from hopyard import current, portal
from hopyard.app import Hopyard
from hopyard.engine.processes.pool import CANCEL, claim_from
from hopyard.engine.processes.process import resident
from hopyard.errors import JobCancelled
from hopyard.ledger import notes
from hopyard.ledger.database import Database
from hopyard.ledger.values import Progress
from hopyard.redaction import redact
from hopyard.tasks.classify import classify, said
from hopyard.tasks.job import Job, current_job


class ChildHost:
    """The `Host` of jobs in a child: one connection, opened for the first checkpoint."""

    def __init__(self, hopyard: Hopyard, out: Any) -> None:
        self._hopyard = hopyard
        self._out = out
        self._database: Database | None = None
        self._told = False
        self.worker = 0
        self.busy = False

    def note(self, progress: Progress) -> None:
        self.say({"progress": [progress.current, progress.total, progress.message]})

    async def save(self, id_: str, claim: int, data: Mapping[str, Any]) -> None:
        database, fence = self.held(id_, claim)
        await notes.write_checkpoint(database, id_, fence, data)

    def held(self, id_: str, claim: int) -> tuple[Database, tuple[int, int]]:
        if self._database is None:
            self._database = self._hopyard.open_database()
        return self._database, (self.worker, claim)

    def release_slot(self, id_: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # the slot is the process, which is busy

    def check(self, id_: str, claim: int) -> None:
        """Raise if the job was told to stop."""
        if self._told:
            raise JobCancelled(f"job {id_} was cancelled")

    def stop(self, *_: Any) -> None:
        """Interrupt the job that runs, as a signal's handler; the child is not used again."""
        self._told = True
        if self.busy:
            raise JobCancelled("the job was cancelled")

    async def close(self) -> None:
        """Close the connection, on the loop that opened it."""
        if self._database is not None:
            await self._database.close()

    def say(self, what: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(what).encode() + b"\n")
        self._out.flush()


def run(hopyard: Hopyard, host: ChildHost, order: dict[str, Any]) -> dict[str, Any]:
    """Run one job; return the answer."""
    claim = claim_from(order["claim"])
    host.worker = order["worker"]
    task = hopyard.task(claim.task)
    job = Job(claim, host, order["checkpoint"])
    token = current_job.set(job)
    try:
        values = task.payload.load_body(claim.body)
        if task.payload.job_parameter:
            values[task.payload.job_parameter] = job
        host.say({"memory": resident(os.getpid())})  # its parent looks now and then only
        host.busy = True
        host.check(claim.id, claim.claim)
        value = task.function(**values)
        if task.is_async:
            value = _on_portal(value)
        host.busy = False
        return {"result": task.payload.dump_result(value)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task raises is told to the parent
        verdict = hopyard.plugins.classify(task.name, error) or classify(error)
        return {
            "error": {
                "kind": type(error).__name__,
                "category": verdict.category,
                "retry_after": verdict.retry_after,
                "message": said(error),
                "traceback": redact("".join(traceback.format_exception(error))),
            }
        }
    finally:
        host.busy = False
        current_job.reset(token)


def _on_portal(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the portal's loop; one that is told to stop may clean up first."""
    over = threading.Event()

    async def whole() -> Any:
        try:
            return await coroutine
        finally:
            over.set()

    future = asyncio.run_coroutine_threadsafe(whole(), portal.loop())
    try:
        return future.result()
    except JobCancelled:
        if future.cancel():
            over.wait()
        raise


def main() -> None:
    """Serve jobs until standard input ends: the parent is gone then."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what tasks print goes to the log, not into the protocol
    hopyard: Hopyard = current.get()
    hopyard.plugins.start_process("child")
    host = ChildHost(hopyard, out)
    signal.signal(CANCEL, host.stop)
    faulthandler.enable()  # a segfault says where, in the parent's log and in the job's history
    for line in sys.stdin.buffer:
        host.say(run(hopyard, host, json.loads(line)))
    hopyard.plugins.stop_process("child")
    portal.run(host.close())


if __name__ == "__main__":
    main()
