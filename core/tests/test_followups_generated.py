"""What follows a job may be anything: its job ends, a healthy one runs, and what is odd is told of."""

from __future__ import annotations

import json
import random
from typing import Any

from canvases import Canvas
from engines import Worker
from hopyard.ledger.values import new_id
from hopyard.specs import State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_messages import change

_JOBS = 12
_NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def signature(task: str = "site.add", **options: Any) -> dict[str, Any]:
    """Return a signature as Celery writes it."""
    made: dict[str, Any] = {"task": task, "args": [1], "kwargs": {}, "subtask_type": None, "immutable": False}
    return made | {"options": {"task_id": new_id()} | options}


def group(*members: Any) -> dict[str, Any]:
    return signature("celery.group") | {"args": [], "kwargs": {"tasks": [*members]}, "subtask_type": "group"}


def chord() -> dict[str, Any]:
    inner = {"header": [signature(), signature()], "body": signature("site.total"), "kwargs": {}}
    return signature("celery.chord") | {"args": [], "kwargs": inner, "subtask_type": "chord"}


def real(draw: random.Random) -> dict[str, Any]:
    """Return what may follow a job, as Celery writes it."""
    chains = [
        [signature(), signature()],
        [signature(link=[signature()], link_error=[signature("site.told")])],
        [signature(), group(signature(), signature())],
        [chord()],
    ]
    return _NOTHING | draw.choice(
        [
            {"callbacks": [signature(), group(signature(), signature())]},
            {"chain": draw.choice(chains)},
            {"errbacks": [signature("site.told"), signature("site.errback")]},
            {"callbacks": [signature()], "chain": draw.choice(chains)},
        ]
    )


def mutated(draw: random.Random) -> dict[str, Any]:
    """Return what follows a job with one to three of its parts changed."""
    embed: Any = real(draw)
    for _ in range(draw.randint(1, 3)):
        embed = change(draw, embed)
    return embed if isinstance(embed, dict) else {"callbacks": embed}


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
async def test_whatever_follows_a_job_is_stored_or_told_of(canvas: Canvas, worker: Worker, seed: int) -> None:
    draw = random.Random(seed)
    canvas.told.clear()
    jobs = {}
    for _ in range(_JOBS):
        fails, embed = draw.random() < 0.3, mutated(draw)
        kind = ("site.told", {"about": {"fail": True}}) if fails else ("site.add", {"a": 1})
        try:
            body = json.dumps([[], kind[1], embed], allow_nan=False)
            body.encode()
        except (ValueError, RecursionError):
            continue  # no ledger has that
        job = canvas.lab.ledger.new(task=kind[0], queue="site", body=body, headers="", linked=True)
        jobs[job.id] = (job, fails, embed)
    database = canvas.lab.ledger.database
    await database.submit([job for job, _, _ in jobs.values()])
    healthy = await canvas.lab.submit("site.add", a=1, b=2)
    await worker.take(*jobs)
    await canvas.lab.ends(healthy)
    for id_, (_, fails, embed) in jobs.items():
        await canvas.lab.ends(id_, State.DEAD if fails else State.SUCCEEDED)
        await canvas.lab.until(lambda: _followed(canvas, id_), f"seed {seed}: {embed!r:.1000}")  # noqa: B023
        names = ("errbacks",) if fails else ("callbacks", "chain", "chord")
        if any(embed.get(name) for name in names):
            assert await _told(canvas, id_), f"seed {seed}: {embed!r:.1000}"


async def _followed(canvas: Canvas, id_: str) -> bool:
    return not await canvas.lab.ledger.database.fetch("SELECT id FROM job_follow WHERE id = $1", id_)


async def _told(canvas: Canvas, id_: str) -> bool:
    """Say whether something follows a job, or is kept of why not."""
    database = canvas.lab.ledger.database
    follows = (
        "SELECT id FROM job_live WHERE parent = $1 UNION ALL SELECT id FROM job_history WHERE parent = $1"
    )
    kept = "SELECT reason FROM set_aside WHERE kind = 'follow-up' AND target = $1"
    return bool(await database.fetch(follows, id_) or await database.fetch(kept, id_))
