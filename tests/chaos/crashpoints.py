"""Steps of the engine at which a process can be told to die: a file of the step's name is the order.

Who meets the file removes it and kills itself, so that each order costs one process; a number in the file is
another signal. Installed by the suite's
`hopfile.py`; the product knows nothing of it.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
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
)


def install(folder: str) -> None:
    """Wrap the named steps; `folder` is where orders lie. Nothing without a folder."""
    if not folder:
        return
    from hopyard.engine import celeryview
    from hopyard.ledger import effects, notes, waiting
    from hopyard.ledger.postgres import PostgresDatabase
    from hopyard.ledger.sqlite import SqliteDatabase

    orders = Path(folder)

    def die_at(point: str) -> None:
        try:
            number = int((orders / point).read_text() or signal.SIGKILL)
            (orders / point).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), number)

    def around(owner: Any, name: str, before: str, after: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(call)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            die_at(before)
            answer = await call(*args, **kwargs)
            die_at(after)
            return answer

        setattr(owner, name, wrapped)

    for database in (PostgresDatabase, SqliteDatabase):
        around(database, "claim", "claim.before", "claim.after")
        around(database, "finish", "finish.before", "finish.after")
        around(database, "again", "again.before", "again.after")
    around(effects, "begin", "effect.before", "effect.intent")
    around(effects, "end", "effect.action", "effect.after")
    around(notes, "write_checkpoint", "save.before", "save.after")
    around(waiting, "promote", "promote.before", "promote.after")

    acknowledge = celeryview.acknowledge

    def acknowledged(*args: Any) -> None:
        die_at("ack.before")
        acknowledge(*args)
        die_at("ack.after")

    celeryview.acknowledge = acknowledged  # type: ignore[assignment]
