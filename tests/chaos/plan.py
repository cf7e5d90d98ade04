"""What the fault suite does: faults and their rounds, pairs of database and broker, declared skips."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

#: `smoke` or `full`; empty: the suite is not asked for, and its tests are deselected.
MODE: Final = os.environ.get("HOPYARD_INTERNAL_CHAOS", "")
SEED: Final = int(os.environ.get("HOPYARD_INTERNAL_SEED") or int.from_bytes(os.urandom(4), "big"))
#: A part of the product to break on purpose (`breaks.py`).
BREAK: Final = os.environ.get("HOPYARD_INTERNAL_BREAK", "")
#: Some faults only, e.g. `T2,T7`; empty: all of them.
ONLY: Final = frozenset(filter(None, os.environ.get("HOPYARD_INTERNAL_ONLY", "").split(",")))

#: Seconds of a worker's lease.
LEASE: Final = 15.0 if MODE == "full" else 5.0
#: Seconds that a worker which is asked to end gives its jobs.
GRACE: Final = 5.0
#: Workers of a site: so many that some strikes may take one away each, at the same time.
WORKERS: Final = 7 if MODE == "full" else 3
#: So many strikes of one kind at the same time, each at another worker: they mostly wait.
STREAMS: Final = {"T1": 3, "T1-page": 2, "T5": 2, "T7": 2, "T10": 3} if MODE == "full" else {}
#: A killed worker's job runs again within so many seconds: 30 s at a lease of 15 s.
AGAIN: Final = LEASE + 15.0
#: All workers consume again within so many seconds after the broker or the database is back.
BROKER_BACK: Final = 35.0
DATABASE_BACK: Final = 20.0
#: Another scheduler leads within so many seconds.
FAILOVER: Final = 20.0
#: What follows a job waits no longer than this once nothing strikes any more.
STUCK: Final = 60.0


class Fault(NamedTuple):
    """One row of the table: rounds on the first pair in the full suite, and in the smoke test's two pairs."""

    what: str
    full: int
    smoke: tuple[int, int]


FAULTS: Final = {
    "T0": Fault("stock Celery at its safest settings: kill -9 of its worker group", 30, (0, 0)),
    "T1": Fault("SIGKILL at each named step of worker, relay and scheduler", 25, (1, 1)),
    "T1-page": Fault("a job's process killed at each of its checkpoints", 10, (1, 1)),
    "T2": Fault("kill -9 of a whole worker group under load", 150, (13, 7)),
    "T3": Fault("kill -9 of the broker", 40, (3, 2)),
    "T3-flush": Fault("the broker's data is deleted (FLUSHALL, or its queues)", 10, (1, 1)),
    "T3-amnesia": Fault("kill -9 of the broker, which comes back without its data", 10, (1, 1)),
    "T4": Fault("kill -9 of PostgreSQL", 30, (4, 0)),
    "T5": Fault("a worker cut off from broker, database or both; one way; half open", 60, (4, 2)),
    "T6": Fault(
        "delay between workers and servers: 0.2 s each way, then lease / 15",
        1,
        (1, 1),
    ),
    "T7": Fault("SIGSTOP of a worker until others have its jobs, then SIGCONT", 50, (3, 2)),
    "T8": Fault("kill or stop of the leading scheduler of three", 60, (5, 3)),
    "T9": Fault("the leading scheduler's clock is wrong by ten minutes or a day", 30, (2, 0)),
    "T10": Fault("poisonous jobs, one of each kind a round", 10, (1, 1)),
    "T11": Fault("rolling deployment: a worker drained (SIGTERM) and replaced, the oldest first", 30, (3, 3)),
    "T12": Fault("bursts of messages doubled, reordered and dropped", 200, (12, 8)),
    "T13": Fault("kill -9 of a producer between commit and ring", 200, (12, 8)),
    "T14": Fault("cancel at a random moment", 1000, (60, 40)),
    "million": Fault("a million jobs wait for ten minutes, then the broker's data is deleted", 1, (0, 0)),
    "chains": Fault("chains of three jobs, accepted during T2 and during T3", 1000, (40, 40)),
    "chords": Fault("chords of five parts and a body, accepted during T2 and during T3", 200, (10, 10)),
}

#: Faults that have a test, an installation and a load of their own.
ALONE: Final = frozenset({"T0", "million"})
#: How many jobs wait, and for how many minutes.
MILLION: Final = int(os.environ.get("HOPYARD_INTERNAL_MILLION") or 1_000_000)
MINUTES: Final = float(os.environ.get("HOPYARD_INTERNAL_MINUTES") or 10)

PAIRS: Final = ("postgres+redis", "sqlite+valkey", "postgres+rabbitmq", "sqlite+redis", "sqlite+rabbitmq")
_SMOKE: Final = PAIRS[:2]


def faketime() -> Path | None:
    """Return the library that gives a process another clock."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _skips() -> Iterator[tuple[str, str, str]]:
    for pair in PAIRS:
        database, _, broker = pair.partition("+")
        if database == "sqlite":
            yield "T9", pair, "SQLite has the clock of the one machine on which all its processes run"
            yield "T4", pair, "SQLite has no server to kill; its writers are killed in T1, T2 and T13"
        if broker == "rabbitmq":
            yield "T3-amnesia", pair, "RabbitMQ is always persistent; T3-flush deletes its queues"
            yield "T12", pair, "messages are dropped and reordered in Redis lists only"
        if database == "postgres" and faketime() is None:
            yield "T9", pair, "libfaketime is not installed; the rules' own property tests hold without"
        for fault in sorted(ALONE):
            if pair != PAIRS[0]:
                yield fault, pair, "once, on the first pair"
            elif MODE == "smoke":
                yield fault, pair, "only in the full suite"


#: What is not done on which pair, and why. Any other skip turns the suite red.
SKIPS: Final = {(fault, pair): why for fault, pair, why in _skips()}


def pairs() -> tuple[str, ...]:
    """Return the pairs of this run."""
    return PAIRS if MODE == "full" else _SMOKE


def rounds(fault: str, pair: str) -> int:
    """Return how many rounds of a fault are planned on a pair; 0 where it is a declared skip."""
    if (fault, pair) in SKIPS or pair not in pairs() or (ONLY and fault not in ONLY):
        return 0
    planned = FAULTS[fault]
    if MODE != "full":
        return planned.smoke[_SMOKE.index(pair)]
    return planned.full if pair == PAIRS[0] else math.ceil(planned.full / 10)


def cgroup(controller: str) -> Path | None:
    """Return the folder in which control groups can be made; None where this machine does not let us."""
    for folder in (Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")):
        limit = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max",)}[controller]
        trial = folder / f"hopyard-{os.getpid()}"
        try:
            trial.mkdir()
        except OSError:
            continue
        try:
            if any((trial / name).exists() for name in limit):
                return folder
        finally:
            trial.rmdir()
    return None


def missing(kind: str) -> str:
    """Say why a kind of poison cannot be given on this machine; empty: it can."""
    if kind in ("oom", "forkbomb"):
        controller = "memory" if kind == "oom" else "pids"
        return "" if cgroup(controller) else f"the {controller} control group is not ours to change"
    if kind == "diskfull":
        return "" if Path("/dev/full").exists() else "there is no /dev/full"
    return ""


def redis_program() -> str:
    """Return the system's Redis server; it is looked for once the suite has been asked for."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: `make setup-test-servers`"
    return program
