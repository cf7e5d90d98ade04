"""T13: a producer dies between its commit and the ring."""

from __future__ import annotations

import pytest
from chaos.checker import check
from chaos.place import Place

_JOBS = 9
#: The relay looks for entries that are two seconds old, once a second.
_RELAYED = 12.0


@pytest.mark.parametrize("fault", ["T13"], indirect=True)
async def test_what_was_committed_runs(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """Soon, although the queue is never empty; what was rolled back never does."""
    await place.man(1)
    # So many low-priority jobs that the queue always has messages: only the outbox tells of the others.
    backlog = place.produce(1000, rate=300.0, seconds=0.3, priority=0)
    await place.until(lambda: _queued(place, 100), "there is a backlog")
    for n in range(fault.planned):
        dying = place.produce(_JOBS, mode="session" if n % 2 else "silent")
        assert await place.produced(dying) < 0, "the producer was killed"
        fault.done()
    accepted = {line["id"]: line["at"] for line in place.journal() if line["outcome"] == "accepted"}
    late = {id_: at for file in _dying(place) for id_, at in file.items()}
    assert late.keys() <= accepted.keys()

    async def started() -> bool:
        return late.keys() <= {line["job"] for line in place.sunk()}

    try:
        await place.until(started, "jobs that nobody rang for have started", _RELAYED + 8)
    except AssertionError:
        place.enough()  # the checker says which
    place.enough()
    await place.produced(backlog)
    evidence = await place.evidence()
    violations = check(evidence)
    waits = [evidence.starts[id_][0]["at"] - at for id_, at in late.items() if id_ in evidence.starts]
    violations += [f"I5 nobody rang for {s:.1f} s" for s in waits if s > _RELAYED]
    fault.verdict(
        violations, unrung=len(late), wait_max_s=round(max(waits, default=0), 1), **evidence.numbers
    )


def _dying(place: Place) -> list[dict[str, float]]:
    from chaos.sink import read_lines

    files = sorted(place.folder.glob("journal-*.jsonl"), key=lambda p: int(p.stem.split("-")[1]))[1:]
    return [{x["id"]: x["at"] for x in read_lines(f) if x["outcome"] == "accepted"} for f in files]


async def _queued(place: Place, number: int) -> bool:
    rows = await place.rows("SELECT count(*) AS n FROM job_live WHERE state = 1")
    return bool(rows[0]["n"] >= number)
