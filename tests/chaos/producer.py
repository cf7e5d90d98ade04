"""A producer as a process: submits jobs and journals, on disk, each submission that returned.

`python -m chaos.producer '{"journal": …, "count": …, "rate": …, "first": …, "mode": …}'`. Modes:
plain    submit one by one, some at a time
silent   die by SIGKILL between the commit and its message
session  in transactions of its own, every third of which is rolled back; dies like silent
canvas   `chains` and `chords`, as Celery's own code applies them
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import celery
from hopyard import current
from hopyard.errors import LedgerUnavailable
from hopyard.ledger.values import new_id

_AT_A_TIME = 8


class Journal:
    """A file outside of the blast radius."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, outcome: str, ids: list[str]) -> None:
        """Note what became of submissions: accepted, refused (nobody knows) or rolled back."""
        self._write({"outcome": outcome, "id": id_} for id_ in ids)

    def write_canvas(self, kind: str, ids: list[str], value: int) -> None:
        """Note an accepted chain or chord: the ids of all jobs, the last one's at the end, and the result."""
        accepted = [{"outcome": "accepted", "id": id_} for id_ in ids]
        self._write([*accepted, {"outcome": "canvas", "kind": kind, "ids": ids, "value": value}])

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        now = time.time()
        text = "".join(json.dumps({**line, "at": now}) + "\n" for line in lines)
        os.write(self._file, text.encode())
        os.fsync(self._file)


def _task(n: int, order: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = "site.plain" if n % 5 == 4 else "site.step"
    # Some last so long that they still run when somebody comes back from the dead.
    return name, {"n": n, "seconds": order["long"] if n % 11 == 5 and "long" in order else 0.02}


async def plain(order: dict[str, Any], journal: Journal) -> None:
    """Submit at a rate; refused ones are journalled as such."""
    hopyard = current.get()
    begun = time.monotonic()
    numbers = iter(range(order["count"]))
    stop = False

    async def one() -> None:
        nonlocal stop
        for n in numbers:
            await asyncio.sleep(max(0.0, begun + n / order["rate"] - time.monotonic()))
            if stop or os.path.exists(f"{order['journal']}.stop"):
                stop = True
                return
            name, kwargs = _task(order["first"] + n, order)
            id_ = new_id()
            call = hopyard.task(name).options(id=id_)
            try:
                await call.submit(**kwargs)
            except LedgerUnavailable:
                journal.write("refused", [id_])
            else:
                journal.write("accepted", [id_])

    await asyncio.gather(*(one() for _ in range(_AT_A_TIME)))
    await hopyard.close()


async def silent(order: dict[str, Any], journal: Journal) -> None:
    """Commit a batch and die before the broker hears of it."""
    hopyard = current.get()
    client = hopyard.client()

    async def die(messages: Any, at: Any = None, entry: str | None = None) -> bool:
        journal.write("accepted", [message.id for message in messages])
        os.kill(os.getpid(), signal.SIGKILL)
        return False

    client.publish = die
    calls = [_task(order["first"] + n, order)[1] for n in range(order["count"])]
    await hopyard.task("site.step").options(priority=9, queue="site.busy").submit_many(calls)


async def session(order: dict[str, Any], journal: Journal) -> None:
    """Submit in SQL transactions, die after the last commit and before its messages."""
    from hopyard.tasks import transactional
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    hopyard = current.get()
    url = hopyard.database_url.replace("sqlite:", "sqlite+aiosqlite:")
    engine = create_async_engine(url)

    async def no_message(jobs: Any) -> None:
        """Too late."""

    transactional._announce = no_message
    for n in range(order["count"]):
        name, kwargs = _task(order["first"] + n, order)
        options = hopyard.task(name).options(priority=9, queue="site.busy")
        while True:
            id_ = new_id()
            try:
                async with AsyncSession(engine) as own:
                    await replace(options, session=own, id=id_).submit(**kwargs)
                    await (own.rollback() if n % 3 == 2 else own.commit())
            except OperationalError:  # as it is told who locks SQLite's file for longer than it waits
                journal.write("refused", [id_])
            else:
                journal.write("rolled back" if n % 3 == 2 else "accepted", [id_])
                break
    os.kill(os.getpid(), signal.SIGKILL)


_PARTS = 5


async def canvas(order: dict[str, Any], journal: Journal) -> None:
    """Apply chains and chords at a rate, in turn, until so many were accepted."""
    hopyard = current.get()
    begun = time.monotonic()
    kinds = ["chain"] * order["chains"] + ["chord"] * order["chords"]
    random.Random(order["first"]).shuffle(kinds)
    for n, kind in enumerate(kinds):
        await asyncio.sleep(max(0.0, begun + n / order["rate"] - time.monotonic()))
        while not await asyncio.to_thread(globals()[f"_{kind}"], hopyard.celery, n, journal):
            await asyncio.sleep(0.2)
    await hopyard.close()


def _applied(signature: Any, journal: Journal) -> Any:
    try:
        return signature.apply_async()
    except LedgerUnavailable:
        journal.write("refused", [str(signature)])
        return None


def _chain(app: Any, n: int, journal: Journal) -> bool:
    link = app.tasks["site.link"].s
    applied = _applied(celery.chain(link({"value": n}, 1), link(10), link(100)), journal)
    if applied:
        ids = [applied.parent.parent.id, applied.parent.id, applied.id]
        journal.write_canvas("chain", ids, n + 111)
    return bool(applied)


def _chord(app: Any, n: int, journal: Journal) -> bool:
    link, total = app.tasks["site.link"].s, app.tasks["site.total"].s
    applied = _applied(celery.chord([link({"value": n}, part) for part in range(_PARTS)], total()), journal)
    if applied:
        ids = [*(part.id for part in applied.parent.results), applied.id]
        journal.write_canvas("chord", ids, n * _PARTS + sum(range(_PARTS)))
    return bool(applied)


if __name__ == "__main__":
    import hopyard as _  # noqa: F401 - makes the installation known

    given = json.loads(sys.argv[1])
    asyncio.run(globals()[given.get("mode", "plain")](given, Journal(given["journal"])))
