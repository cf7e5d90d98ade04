"""Column lists that several statements share."""

from __future__ import annotations

from typing import Final

from hopyard.ledger.values import NewJob

#: What a new job's row is given, in the order of `NewJob`.
INSERTED: Final = ", ".join(NewJob._fields)

#: The queues that somebody paused. Its `queue > ''` has PostgreSQL read an index: a table read from end to
#: end counts as so dear there (`postgres.py`) that nothing else in a plan would matter.
PAUSED: Final = "(SELECT queue FROM queue_state WHERE queue > '' AND paused IS NOT NULL)"

_MOVED: Final = [
    "id",
    "task",
    "queue",
    "priority",
    "body",
    "headers",
    "attempt",
    "crashes",
    "worker",
    "claim",
    "cancel",
    "created",
    "eta",
    "rung",
    "started",
    "attempts",
    "reason",
    "schedule",
    "due",
    "parent",
    "root",
    "person",
    "job_group",
    "origin",
    "replay_of",
    "linked",
]


def moved(*without: str) -> str:
    """Return the columns that a row keeps on its way from `job_live` to `job_history`.

    The state is always given anew; columns in `without` are too.
    """
    return ", ".join(column for column in _MOVED if column not in without)
