"""T10: jobs that kill what runs them end dead with evidence, and their neighbours go on."""

from __future__ import annotations

import json

import pytest
from chaos.checker import check
from chaos.place import Place
from hopyard.specs import State


@pytest.mark.parametrize("fault", ["T10"], indirect=True)
async def test_poison_is_quarantined(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """A segfault names its signal; who ends three workers ends dead, with the three in its history."""
    await place.man()
    producer = place.produce(100_000, rate=12.0)
    await place.loaded()
    handles = []
    for _ in range(fault.planned):
        segfault = await place.submit("site.segfault")
        killer = await place.submit("site.killer")
        for handle in (segfault, killer):
            handles.append(handle.id)

            async def over(id_: str = handle.id) -> bool:
                rows = await place.rows("SELECT 1 AS yes FROM job_history WHERE id = $1", id_)
                return bool(rows)

            await place.until(over, "poison ends", 120)
        fault.done()
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    violations = check(evidence)
    rows = {row["id"]: row for row in evidence.history if row["id"] in handles}
    for row in rows.values():
        error, tries = json.loads(row["error"] or "{}"), json.loads(row["attempts"] or "[]")
        evident = "SIGSEGV" in error.get("message", "") if row["task"] == "site.segfault" else len(tries) >= 2
        runs = len(evidence.starts[row["id"]])
        if row["state"] != State.DEAD or not evident or runs > 3:
            violations.append(f"poison {row['task']} {row['state']} after {runs} runs: {error} {tries}")
    fault.verdict(violations, poisoned=len(rows), **evidence.numbers)
