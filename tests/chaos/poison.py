"""Jobs that hurt what runs them, a task for each kind of poison; part of the site's plugin (`hopfile.py`)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from chaos import plan
from chaos.sink import tell
from hopyard import Job, RetryPolicy, task

#: Twice more, soon: what kills its process does so three times.
_TWICE = RetryPolicy(max_retries=2, backoff=0.1, jitter=0)
_POISON = "site.poison"

#: By kind, which is the task's name behind `site.`: what the ledger must say when it has ended dead.
EVIDENCE = {
    "segfault": "SIGSEGV",
    "killer": "died 3 times",
    "oom": "SIGKILL",
    "deaf": "time limit",
    "forkbomb": "Resource temporarily unavailable",
    "huge": "a job carries at most",
    "huge_child": "a job carries at most",
    "diskfull": "No space left on device",
}


@task("site.segfault", queue=_POISON, pool="process", retry=_TWICE)
def segfault() -> None:
    """Die as a broken library makes a process die."""
    os.kill(os.getpid(), signal.SIGSEGV)


@task("site.killer", queue=_POISON, retry=_TWICE)
async def killer(job: Job) -> None:
    """Take the whole worker down."""
    await tell(what="dies", job=job.id, pid=os.getpid())
    os._exit(1)


@task("site.oom", queue=_POISON, pool="process", retry=_TWICE)
def oom(job: Job) -> None:
    """Take more memory than the process may have: the kernel kills it."""
    folder = _group("memory", job.id, {"memory.limit_in_bytes": 64 << 20, "memory.max": 64 << 20})
    hoard = [b"x" * (16 << 20) for _ in range(64)]
    raise AssertionError(f"{folder} let {len(hoard)} pieces pass")


@task("site.deaf", queue=_POISON, pool="process", time_limit=2.0, retry=_TWICE)
def deaf() -> None:
    """Listen to no signal, and never end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        time.sleep(3600)


@task("site.forkbomb", queue=_POISON, pool="process", retry=RetryPolicy(max_retries=0))
def forkbomb(job: Job) -> None:
    """Fork until the kernel says no. The forks end with their parent's pipe."""
    _group("pids", job.id, {"pids.max": 40})
    reader, writer = os.pipe()
    forks = []
    try:
        while True:
            pid = os.fork()
            if pid == 0:
                os.close(writer)
                os.read(reader, 1)  # until the parent has closed it, or is dead
                os._exit(0)
            forks.append(pid)
    finally:
        os.close(writer)
        for pid in forks:
            os.waitpid(pid, 0)


@task("site.huge", queue=_POISON, retry=RetryPolicy(max_retries=0))
def huge() -> str:
    """Return 100 MB."""
    return "x" * 100_000_000


@task("site.huge_child", queue=_POISON, pool="process", retry=RetryPolicy(max_retries=0))
def huge_child() -> str:
    """Return 100 MB from a child process."""
    return "x" * 100_000_000


@task("site.diskfull", queue=_POISON, retry=RetryPolicy(max_retries=0))
def diskfull() -> None:
    """Write to a device that has no space left."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


def _group(controller: str, job: str, limits: dict[str, int]) -> Path:
    """Put this process into a control group of its own; return the group's folder."""
    top = plan.cgroup(controller)
    assert top is not None, "a declared skip"
    folder = top / f"hopyard-{job}-{os.getpid()}"
    folder.mkdir()
    for name, value in limits.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))
    (folder / "cgroup.procs").write_text(str(os.getpid()))
    return folder


def remove_groups() -> None:
    """Remove the groups whose processes are gone."""
    for controller in ("memory", "pids"):
        top = plan.cgroup(controller)
        for folder in top.glob("hopyard-*-*-*") if top else ():
            try:
                folder.rmdir()
            except OSError:  # somebody else's run
                continue
