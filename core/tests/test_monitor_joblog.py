"""What a job logs is kept with it: its first lines, masked, and nobody else's."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from engines import Lab
from hopyard.ledger.read import logs
from hopyard.ledger.read.logs import KEPT, LONGEST, LogLine
from hopyard.monitor.joblog import JobLog
from hopyard.redaction import register
from hopyard.specs import State
from hopyard.tasks.job import current_job

log = logging.getLogger("site.joblog")


class Somebody:
    """Stands in for a job, one of whose arguments is a password."""

    def __init__(self, id_: str, attempt: int = 1) -> None:
        self.id, self.attempt, self.task = id_, attempt, "site.echo"

    def hidden(self, text: str) -> str:
        return text.replace("its own", "***")


@contextmanager
def within(job: Any) -> Iterator[None]:
    token = current_job.set(job)
    try:
        yield
    finally:
        current_job.reset(token)


@pytest.fixture
def taken() -> Iterator[list[LogLine]]:
    found: list[LogLine] = []
    handler = JobLog(found.append)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(handler)


def test_lines_are_counted_by_attempt(taken: list[LogLine]) -> None:
    log.info("of no job, which has its own")
    first, again = Somebody("a"), Somebody("a", attempt=2)
    with within(first):
        log.info("one, its own")
        log.debug("too fine")
        log.warning("two")
    with within(again):
        log.info("three")
    assert [(line.job_id, line.n, line.level, line.message) for line in taken] == [
        ("a", 1001, "INFO", "one, ***"),
        ("a", 1002, "WARNING", "two"),
        ("a", 2001, "INFO", "three"),
    ]


def test_however_many_jobs_come_and_go_a_long_one_goes_on_counting(taken: list[LogLine]) -> None:
    long = Somebody("long")
    with within(long):
        log.info("begins")
    for n in range(11_000):
        with within(Somebody(f"short {n}")):
            log.info("short")
    with within(long):
        log.info("goes on")
    gc.collect()
    assert [line.n for line in taken if line.job_id == "long"] == [1001, 1002]


def test_only_the_first_lines_are_kept_and_the_last_says_so(taken: list[LogLine]) -> None:
    with within(Somebody("a")):
        for n in range(KEPT):
            log.info("line %d", n)
        assert [line.message for line in taken] == [f"line {n}" for n in range(KEPT)]
        for _ in range(50):
            log.info("one more")
    assert len(taken) == KEPT + 1
    assert "worker's log" in taken[-1].message


def test_secrets_and_control_characters_are_not_kept_and_long_lines_are_cut(taken: list[LogLine]) -> None:
    register("correct-horse-battery")
    with within(Somebody("a")):
        log.info("key correct-horse-battery \x1b[31m")
        log.info("x" * (LONGEST + 100))
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("it failed")
    assert "correct-horse" not in taken[0].message
    assert "\x1b" not in taken[0].message
    assert len(taken[1].message) == LONGEST
    assert "ValueError: no" in taken[2].message


async def kept(lab: Lab, id_: str, enough: int = 1) -> list[str]:
    """Return what a job has logged, once it is stored."""

    async def stored() -> list[str]:
        lines = [line.message for line in await logs.lines(lab.ledger.database, id_)]
        return lines if len(lines) >= enough else []

    found: list[str] = await lab.until(stored)
    return found


async def test_lines_of_the_loop_and_of_a_thread_are_kept(lab: Lab) -> None:
    async def says(job: Any) -> None:
        job.log.warning("from the loop")

    lab.calls |= {"call": says, "plain": lambda job: job.log.warning("from a thread")}
    worker = await lab.worker()
    for task, name, line in (
        ("site.call", "call", "from the loop"),
        ("site.plain", "plain", "from a thread"),
    ):
        id_ = await lab.submit(task, name=name)
        worker.fetch()
        await lab.ends(id_, State.SUCCEEDED)
        assert await kept(lab, id_) == [line]


async def test_lines_of_a_child_are_kept(lab: Lab) -> None:
    worker = await lab.worker()
    id_ = await lab.submit("site.child", do="print")
    worker.fetch()
    await lab.ends(id_, State.SUCCEEDED)
    assert (await kept(lab, id_))[0] == '{"result": "forged"}'
