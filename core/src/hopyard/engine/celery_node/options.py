"""Options of `celery worker` that change nothing for jobs: each is answered with what to use instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

_LIMIT: Final = 'set `time_limit` in `[tasks."NAME"]` of hopyard.toml'
_CHILDREN: Final = 'a task with pool="process" runs in children of the worker\'s own, replaced when one fails'
_SLOTS: Final = (
    "set `slots` in `[queues.NAME]` of hopyard.toml; `hopyard worker --processes N` for more processes"
)
#: By the attribute of Celery's worker that an option sets: the option, and what to use.
_WITHOUT_EFFECT: Final = {
    "concurrency": ("--concurrency", _SLOTS),
    "autoscale": ("--autoscale", _SLOTS),
    "prefetch_multiplier": ("--prefetch-multiplier", "a worker takes as many jobs as it has free slots"),
    "optimization": ("-O", "a worker takes as many jobs as it has free slots"),
    "time_limit": ("--time-limit", _LIMIT),
    "soft_time_limit": ("--soft-time-limit", _LIMIT),
    "max_tasks_per_child": ("--max-tasks-per-child", _CHILDREN),
    "max_memory_per_child": ("--max-memory-per-child", _CHILDREN),
    "statedb": ("--statedb", "the ledger remembers which jobs were cancelled"),
}


def without_effect(worker: Any) -> Iterator[str]:
    """Yield a sentence for each option of a Celery worker that its jobs will not feel."""
    ordinary = {"concurrency": 1, "prefetch_multiplier": 1, "optimization": "default"}
    for attribute, (option, instead) in _WITHOUT_EFFECT.items():
        value = getattr(worker, attribute, None)
        if value and value != ordinary.get(attribute):
            yield f"{option} has no effect on jobs: {instead}"
    pool = _pool(sys.argv)
    if pool not in (None, "threads"):
        yield (
            f"--pool {pool} has no effect on jobs: `async def` tasks run on the event loop, `def` tasks in "
            'threads, those with pool="process" in children of the worker'
        )


def _pool(arguments: Sequence[str]) -> str | None:
    """Return the pool that a command line asks for: Celery drops `prefork` before the worker sees it."""
    for n, argument in enumerate(arguments):
        if argument in ("-P", "--pool"):
            return arguments[n + 1] if n + 1 < len(arguments) else None
        if argument.startswith("--pool="):
            return argument.partition("=")[2]
    return None
