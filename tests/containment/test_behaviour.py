"""No task, whatever it does, leaves a job running, a worker dead, or another job with its result."""

from __future__ import annotations

import random
from typing import Any

from contained import Place, examples, seed
from hopyard.specs import State

ERRORS = ["value", "stop", "async_stop", "exit", "interrupt", "generator", "cancelled", "panic", "textless"]
ERRORS += ["memory", "recursion", "group", "surrogate", "timeout"]
RETURNS = ["nan", "object", "large", "deep", "surrogate", "number", "set", "bytes", "generator", "class"]
ANY = [
    *(("raise", error) for error in ERRORS),
    *(("return", kind) for kind in RETURNS),
    ("fork", "returns"),
    ("fork", "exits"),
    ("thread", "daemon"),
    ("thread", "plain"),
    ("thread_raises", ""),
    ("print", "out"),
    ("print", "err"),
    ("raw", ""),
    ("start", ""),
    ("leak", ""),
    ("progress", ""),
    ("progress", "odd"),
]
OF = {
    "site.loop": [
        ("stop_loop", ""),
        ("exit_inside", ""),
        ("exit_inside", "caught"),
        ("cancel_all", "others"),
        ("cancel_all", "all"),
        ("hang", ""),
        ("hang", "often"),
        ("leave", ""),
        ("block", ""),
        ("callback", ""),
    ],
    "site.thread": [("hang", ""), ("hang", "swallows"), ("own_loop", "cancelled"), ("own_loop", "")],
    "site.child": [
        ("die", "killed"),
        ("die", "segfault"),
        ("os_exit", ""),
        ("close", "in"),
        ("close", "out"),
        ("close", "err"),
        ("read", ""),
        ("own_loop", "cancelled"),
        ("hang", ""),
    ],
}
_ROUND = 60


def behaviour(draw: random.Random) -> tuple[str, list[list[str]]]:
    """Return a task and the steps that it takes."""
    task = draw.choices([*OF], weights=[5, 4, 1])[0]
    steps = [draw.choice(draw.choice([ANY, OF[task]])) for _ in range(draw.randint(1, 4))]
    return task, [[*step] for step in steps]


async def test_a_worker_survives_whatever_its_tasks_do(place: Place, record_property: Any) -> None:
    start = seed()
    record_property("seed", start)
    for begin in range(0, examples(240), _ROUND):
        drawn = [behaviour(random.Random(start + begin + n)) for n in range(_ROUND)]
        jobs = [(await place.site.submit(task, steps=steps), steps) for task, steps in drawn]
        texts = {f"healthy {n}": "site.child_echo" if n % 5 == 0 else "site.echo" for n in range(20)}
        good = {text: await place.site.submit(task, text=text) for text, task in texts.items()}
        for handle, steps in jobs:
            try:
                job = await place.site.ended(handle.id)
            except AssertionError as error:
                error.add_note(f"seed {start}: {steps}")
                raise
            if job["state"] == "dead":
                assert job["error"]["kind"], (steps, job)
        for text, handle in good.items():
            assert await place.site.result(handle) == text, "no job has another's result"
        await place.check()
    left = await place.site.rows("SELECT task, state FROM job_live")
    assert [row for row in left if row["state"] != State.SCHEDULED] == []
