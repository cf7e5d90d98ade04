"""What the fault suite does: faults and their rounds, pairs of database and broker, declared skips."""

from __future__ import annotations

import math
import os
from typing import Final, NamedTuple

#: `smoke` or `full`; empty: the suite is not asked for, and its tests are deselected.
MODE: Final = os.environ.get("HOPYARD_INTERNAL_CHAOS", "")
SEED: Final = int(os.environ.get("HOPYARD_INTERNAL_SEED") or int.from_bytes(os.urandom(4), "big"))
#: A part of the product to break on purpose (`breaks.py`).
BREAK: Final = os.environ.get("HOPYARD_INTERNAL_BREAK", "")

#: Seconds of a worker's lease.
LEASE: Final = 15.0 if MODE == "full" else 5.0
#: Workers of a site.
WORKERS: Final = 3 if MODE == "full" else 2


class Fault(NamedTuple):
    """One row of the table: rounds on the first pair in the full suite, and in the smoke test's two pairs."""

    what: str
    full: int
    smoke: tuple[int, int]


FAULTS: Final = {
    "T1": Fault("SIGKILL at a named step of the engine (14 steps, rounds each)", 25, (1, 1)),
    "T2": Fault("kill -9 of a whole worker group under load", 150, (10, 5)),
    "T3": Fault("kill -9 of the broker", 40, (3, 2)),
    "T3-flush": Fault("the broker's data is deleted (FLUSHALL, or its queues)", 10, (2, 1)),
    "T3-amnesia": Fault("kill -9 of a broker without persistence", 10, (1, 1)),
    "T4": Fault("kill -9 of PostgreSQL", 30, (2, 0)),
    "T7": Fault("SIGSTOP of a worker for two leases, then SIGCONT", 50, (2, 1)),
    "T8": Fault("kill or stop of the leading scheduler of three", 60, (3, 2)),
    "T10": Fault("poison: a segfault in a child, a task that ends its worker", 10, (1, 1)),
    "T12": Fault("messages doubled, reordered and dropped (hundreds)", 200, (4, 2)),
    "T13": Fault("kill -9 of a producer between commit and ring", 200, (5, 3)),
    "T14": Fault("cancel at a random moment", 1000, (100, 50)),
    "T0": Fault("stock Celery at its safest settings: kill -9 of its worker group", 30, (0, 0)),
}

PAIRS: Final = ("postgres+redis", "sqlite+valkey", "postgres+rabbitmq", "sqlite+redis", "sqlite+rabbitmq")
_SMOKE: Final = PAIRS[:2]

#: What is not done, and why. Any other skip turns the suite red.
SKIPS: Final = {
    ("T4", "sqlite+valkey"): "SQLite has no server to kill; its writers are killed in T1, T2 and T13",
    ("T4", "sqlite+redis"): "SQLite has no server to kill; its writers are killed in T1, T2 and T13",
    ("T4", "sqlite+rabbitmq"): "SQLite has no server to kill; its writers are killed in T1, T2 and T13",
    ("T3-amnesia", "postgres+rabbitmq"): "RabbitMQ always has persistence; T3-flush deletes its queues",
    ("T3-amnesia", "sqlite+rabbitmq"): "RabbitMQ always has persistence; T3-flush deletes its queues",
    ("T12", "postgres+rabbitmq"): "messages are dropped and reordered in Redis lists only",
    ("T12", "sqlite+rabbitmq"): "messages are dropped and reordered in Redis lists only",
    ("T0", "sqlite+valkey"): "a baseline of stock Celery, once",
    ("T0", "postgres+rabbitmq"): "a baseline of stock Celery, once",
    ("T0", "sqlite+redis"): "a baseline of stock Celery, once",
    ("T0", "sqlite+rabbitmq"): "a baseline of stock Celery, once",
}
if MODE == "smoke":
    SKIPS["T0", "postgres+redis"] = "only in the full suite"


def pairs() -> tuple[str, ...]:
    """Return the pairs of this run."""
    return PAIRS if MODE == "full" else _SMOKE


def rounds(fault: str, pair: str) -> int:
    """Return how many rounds of a fault are planned on a pair; 0 where it is a declared skip."""
    if (fault, pair) in SKIPS or pair not in pairs():
        return 0
    planned = FAULTS[fault]
    if MODE != "full":
        return planned.smoke[_SMOKE.index(pair)]
    return planned.full if pair == PAIRS[0] else math.ceil(planned.full / 10)
