"""The workloads. Each gives figures of one round of one system, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import cpu, memory, peak
from benchmarks.session import Session

Figures = dict[str, Any]
#: Acknowledgements and results that follow the last job belong to the work.
_AFTER = 0.2
#: Long enough that all run at once, however slowly a loaded machine starts them.
_CROWD_SECONDS = 3.0


@dataclass(frozen=True)
class Options:
    """How much. `jobs` is for stock Celery, faster systems get a multiple."""

    jobs: int = 3000
    singles: int = 1500
    latency: int = 150
    backlog: int = 100_000
    history: int = 1_000_000
    crowd: int = 5000


def run(session: Session, only: set[str], options: Options) -> Iterator[tuple[str, Figures]]:
    """Run the chosen workloads against one system; yield the name of each with its figures."""
    many = options.jobs * session.system.scale
    counts = {"one": options.singles, "concurrent": many, "many": many, "sync": options.singles}
    for how, count in counts.items():
        if f"submit-{how}" in only:
            yield f"submit-{how}", submit(session, how, count)
            session.reset()
    if only & {"start", "memory", "latency"}:
        yield from alone(session, only, options)
        session.reset()
    if "drain" in only:
        with session.workers("two") as pids:
            yield "drain", drain(session, pids, "noop", many)
        session.reset()
    if "io" in only:
        with session.workers("io") as pids:
            yield "io", drain(session, pids, "nap", max(many // 3, 1000))
        session.reset()
    for name, workload in RARE.items():
        if name in only:
            yield name, workload(session, options)
            if name != "history":  # the last one: its database goes with the session
                session.reset()


def submit(session: Session, how: str, count: int, task: str = "noop") -> Figures:
    """Submit while no worker runs, from a client that has submitted before."""
    session.order("submit", within=60, how=how, task=task, first=session.numbers(50), count=50)
    with counted(session, [], count) as figures:
        answer = session.order(
            "submit", within=120, how=how, task=task, first=session.numbers(count), count=count
        )
    return {**figures, "wall": answer["wall"], "client": answer["cpu"]}


def alone(session: Session, only: set[str], options: Options) -> Iterator[tuple[str, Figures]]:
    """One worker process: seconds to its first job, its memory when idle, latency."""
    first = session.numbers(1)
    session.order("submit", how="one", task="noop", first=first, count=1)
    begun = time.monotonic()
    with session.workers("one") as pids:
        session.until(session.started(first, 1), "the first job", 30, pause=0.002)
        if "start" in only:
            yield "start", {"seconds": session.marks[first] - begun}
        if "memory" in only:
            time.sleep(1.5)
            before = cpu(pids)
            time.sleep(1.5)
            idle = (cpu(pids) - before) / 1.5 * 100
            yield "memory", {**vars(memory(pids)), "idle_cpu_percent": idle}
        if "latency" in only:
            count = options.latency
            found = session.order("latency", within=120, first=session.numbers(count), count=count)
            yield "latency", {"ms": found}


def drain(session: Session, pids: list[int], task: str, count: int) -> Figures:
    """Fill the queue while the workers stand still, let them go, and measure until all results are kept."""
    warm = session.numbers(200)
    session.order("submit", how="many", task=task, first=warm, count=200)
    session.until(session.started(warm, 200), "the first 200 jobs", 60)
    settled(session, 200)
    first = session.numbers(count)
    with session.frozen(pids):
        session.order("submit", within=120, how="many", task=task, first=first, count=count)
        before = session.order("stored")
    with peak(pids, every=0.25) as watched, counted(session, pids, count) as figures:
        begun = time.monotonic()
        session.until(session.started(first, count), f"{count} jobs", 180)
        settled(session, before + count)
        figures["wall"] = time.monotonic() - begun
    if (kept := session.order("stored") - before) != count:
        raise session.failed(f"{kept} results are kept of {count} jobs")
    return {**figures, "peak": watched.mib}


def settled(session: Session, expected: int) -> None:
    """Wait until so many results are kept in all."""
    session.until(lambda: session.order("settled", expected=expected), "all results", 60, pause=0.01)


@contextmanager
def counted(session: Session, pids: list[int], jobs: int) -> Iterator[Figures]:
    """Fill in the CPU seconds of workers and servers over the block and a moment after it."""
    figures: Figures = {"jobs": jobs, "client": 0.0}
    workers, servers = cpu(pids), session.server_cpu()
    yield figures
    time.sleep(_AFTER)
    figures["workers"], figures["servers"] = cpu(pids) - workers, session.server_cpu() - servers


def backlog(session: Session, options: Options) -> Figures:
    """A worker's memory with many jobs queued that each take 50 ms, against the same worker idle."""
    with session.workers("one") as pids:
        warm = session.numbers(200)
        session.order("submit", how="many", task="noop", first=warm, count=200)
        session.until(session.started(warm, 200), "the first 200 jobs", 60)
        settled(session, 200)
        idle = memory(pids).rss
        first = session.numbers(options.backlog)
        session.order("submit", within=900, how="many", task="nap", first=first, count=options.backlog)
        with peak(pids, every=0.1) as watched:
            time.sleep(5)
        return {"queued": options.backlog, "idle": idle, "peak": watched.mib}


def history(session: Session, options: Options) -> Figures:
    """Drain twice: without history, then with many jobs that ended."""
    count = options.jobs * session.system.scale
    with session.workers("two") as pids:
        without = drain(session, pids, "noop", count)
        session.order("call", within=900, method="grow", rows=options.history)
        pages = session.order("call", within=120, method="pages")
        return {**drain(session, pids, "noop", count), "without": without, "pages": pages}


def crowd(session: Session, options: Options) -> Figures:
    """Jobs that all wait at once in one worker process."""
    count = options.crowd
    with session.workers("5000", BENCH_NAP=str(_CROWD_SECONDS)) as pids:
        first = session.numbers(count)
        with peak(pids, every=0.05) as watched:
            session.order("submit", how="many", task="nap", first=first, count=count)
            session.until(session.started(first, count), f"{count} jobs", 60)
            settled(session, count)
        starts = sorted(session.marks[first : first + count])
    return {
        "jobs": count,
        "peak": watched.mib,
        "spread": starts[-1] - starts[0],
        "together": together(starts, _CROWD_SECONDS),
    }


def together(starts: list[float], seconds: float) -> int:
    """Return how many jobs that take so long ran at the same time, at most."""
    most = left = 0
    for right, start in enumerate(starts):
        while starts[left] < start - seconds:
            left += 1
        most = max(most, right - left + 1)
    return most


#: Only where they are asked for by name, or for systems that have them.
RARE: dict[str, Callable[[Session, Options], Figures]] = {
    "backlog": backlog,
    "5000": crowd,
    "history": history,
}
EVERYDAY = (
    *(f"submit-{how}" for how in ("one", "sync", "concurrent", "many")),
    "start",
    "memory",
    "latency",
    "drain",
    "io",
)
