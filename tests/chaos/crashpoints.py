"""Steps of the product at which a process can be told to die: a file of the step's name is the order.

Who meets the file renames it to `STEP.by-PID` and kills itself, so that each order costs one process and says
which. A number in the file is another signal; `noted` behind it waits for a job that said `note`. Installed
by the suite's `hopfile.py`, in workers and schedulers only; the product knows nothing of it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

POINTS: Final = (
    "claim.before",
    "claim.after",
    "ack.before",
    "ack.after",
    "effect.before",
    "effect.intent",
    "effect.action",
    "effect.after",
    "save.before",
    "save.after",
    "finish.before",
    "finish.after",
    "again.after",
    "promote.after",
    "relay.found",
    "relay.rung",
    "follow.before",
    "follow.after",
    "fire.inserted",
    "fire.committed",
)

#: Those of them that the leading reconciler alone comes to.
LEADING: Final = frozenset({"promote.after", "relay.found", "relay.rung"})

_noted: set[str] = set()


def note(job: str) -> None:
    """Make a job one that orders for noted jobs mean."""
    _noted.add(job)


def install(folder: str) -> None:
    """Wrap the named steps; `folder` is where orders lie. Nothing without a folder."""
    roles = {"worker", "beat"} & {*sys.argv}
    if not folder or not roles:
        return
    from hopyard.broker.popper import Popper
    from hopyard.ledger import effects, following, notes, waiting
    from hopyard.ledger.postgres import PostgresDatabase
    from hopyard.ledger.sqlite import SqliteDatabase
    from hopyard.schedule.scheduler import Scheduler
    from hopyard.tasks.client import Client
    from kombu.message import Message

    orders = Path(folder)

    def die_at(point: str, values: Any) -> None:
        order = orders / point
        try:
            number, _, which = order.read_text().partition(" ")
        except FileNotFoundError:
            return
        if which == "noted" and not _noted & {*_ids(values)}:
            return
        try:
            order.rename(orders / f"{point}.by-{os.getpid()}")
        except FileNotFoundError:  # another process was quicker
            return
        # To this very thread: where another one takes the signal, this one does what it was to stop before.
        signal.pthread_kill(threading.get_ident(), int(number or signal.SIGKILL))

    def around(owner: Any, name: str, before: str, after: str, *, busy: bool = False) -> None:
        """`busy`: a call that has nothing to do is no such step."""
        call: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(call)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            if before and (args[-1] or not busy):
                die_at(before, args)
            answer = await call(*args, **kwargs)
            if after and (answer or not busy):
                die_at(after, args)
            return answer

        setattr(owner, name, wrapped)

    def acknowledging(name: str, owner: Any) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def acknowledged(*args: Any) -> None:
            die_at("ack.before", args)
            call(*args)
            die_at("ack.after", args)

        setattr(owner, name, acknowledged)

    if "beat" in roles:
        _tell_of_ticks(Scheduler, orders.parent)
        around(Scheduler, "_insert", "", "fire.inserted", busy=True)
        around(Client, "announce", "fire.committed", "", busy=True)
        return
    for database in (PostgresDatabase, SqliteDatabase):
        around(database, "claim", "claim.before", "claim.after")
        around(database, "finish", "finish.before", "finish.after")
        around(database, "again", "again.before", "again.after")
        around(database, "drop_sent", "relay.rung", "", busy=True)
    around(effects, "begin", "effect.before", "effect.intent")
    around(effects, "end", "effect.action", "effect.after")
    around(notes, "write_checkpoint", "save.before", "save.after")
    around(waiting, "promote", "", "promote.after", busy=True)
    around(waiting, "unsent", "", "relay.found", busy=True)
    around(following, "take", "follow.before", "follow.after", busy=True)

    acknowledging("done", Popper)
    acknowledging("ack_log_error", Message)


def _tell_of_ticks(scheduler: Any, folder: Path) -> None:
    """Leave a file once a scheduler has ticked: from then on it can take over."""
    tick = scheduler.tick

    async def ticked(self: Any) -> float:
        pause: float = await tick(self)
        (folder / f"ticked-{os.getpid()}").touch()
        return pause

    scheduler.tick = ticked


def _ids(values: Any) -> Iterable[str]:
    """Yield the job ids among a call's arguments."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            for one in value:
                yield str(getattr(one, "id", one))
