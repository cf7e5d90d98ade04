"""T14: jobs are cancelled at random moments of their lives."""

from __future__ import annotations

import asyncio
import time

import pytest
from chaos.checker import check
from chaos.place import Place
from hopyard.specs import State

_AT_ONCE = 25


@pytest.mark.parametrize("fault", ["T14"], indirect=True)
async def test_a_cancelled_job_does_nothing_more(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """Where the answer was `cancelled` nothing runs afterwards; where it was `running` the job ends."""
    await place.man(2)
    answers: dict[str, tuple[State, float]] = {}

    async def one(n: int) -> None:
        handle = await place.submit("site.step", n=n, seconds=fault.rng.uniform(0.0, 1.5))
        await asyncio.sleep(fault.rng.uniform(0.0, 2.0))
        state = await handle.cancel()
        answers[handle.id] = (state, time.time())
        fault.done()

    for first in range(0, fault.planned, _AT_ONCE):
        await asyncio.gather(*(one(n) for n in range(first, min(first + _AT_ONCE, fault.planned))))
    evidence = await place.evidence()
    violations = check(evidence, cancelled=True)
    states = {row["id"]: State(row["state"]) for row in evidence.history}
    for id_, (answer, at) in answers.items():
        later = [line for line in evidence.sink if line["job"] == id_ and line["at"] > at]
        if answer is State.CANCELLED and (later or states.get(id_) is not State.CANCELLED):
            violations.append(f"{id_} was cancelled, then {[line['what'] for line in later]}")
        if id_ not in states:
            violations.append(f"stuck: {id_}")
    # A running job is asked: what it does until it hears of it counts, and is only reported.
    asked = {id_: at for id_, (answer, at) in answers.items() if answer is State.RUNNING}
    late = sum(x["what"] == "effect" and x["at"] > asked.get(x["job"], x["at"]) for x in evidence.sink)
    counted = {state.label: sum(s is state for s in states.values()) for state in set(states.values())}
    fault.verdict(violations, asked=len(asked), effects_after_asking=late, **counted)
