"""Runs one sync in a process of its own that may be killed: `sync_child.py CONFIG NAME JOB KILL_AT`.

A moment is each request before it is sent and after it is answered, and each transaction before and after its
commit. At the moment of the number KILL_AT the process kills itself as `kill -9` does; 0 lets it end. Prints
the report as JSON, or the error, and how many moments there were.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hopyard import Hopyard, current
from hopyard.errors import HopyardError
from hopyard_sync.engine import runner
from hopyard_sync.engine.run import Run
from hopyard_sync.http.session import Session


class Moments:
    """Counts moments, and dies at one of them."""

    def __init__(self, kill_at: int) -> None:
        self.count = 0
        self._kill_at = kill_at

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class OneJob:
    """As much of a job as a run needs."""

    def __init__(self, id_: str) -> None:
        self.id = id_

    def progress(self, *_: Any) -> None:
        """Nobody looks."""


def watch(moments: Moments) -> None:
    """Have requests and transactions counted."""
    once, transaction = Session._once, Run.transaction

    async def counted_once(self: Session, *args: Any, **kwargs: Any) -> Any:
        moments.pass_one()
        answer = await once(self, *args, **kwargs)
        moments.pass_one()
        return answer

    @asynccontextmanager
    async def counted_transaction(self: Run) -> AsyncIterator[Any]:
        async with transaction(self) as tx:
            yield tx
            moments.pass_one()
        moments.pass_one()

    setattr(Session, "_once", counted_once)  # noqa: B010 - mypy forbids plain assignment
    setattr(Run, "transaction", counted_transaction)  # noqa: B010


async def run(config: str, name: str, job: str, kill_at: int, options: dict[str, bool]) -> dict[str, Any]:
    """Sync once; return what came of it."""
    hopyard = Hopyard.load(config=Path(config))
    current.set_instance(hopyard)
    moments = Moments(kill_at)
    watch(moments)
    made: Any = OneJob(job)
    try:
        report = await runner.sync(made, name, **options)
        return {"report": report.model_dump(mode="json"), "moments": moments.count}
    except HopyardError as error:
        return {"error": f"{type(error).__name__}: {error}", "moments": moments.count}
    finally:
        await hopyard.close()


if __name__ == "__main__":
    given = json.loads(sys.argv[5]) if len(sys.argv) > 5 else {}
    told = asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), given))
    sys.stdout.write(json.dumps(told))
