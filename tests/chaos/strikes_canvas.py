"""Chains and chords under fire: accepted during T2 and T3, each over once and in time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from chaos import plan
from chaos.checker import Evidence
from chaos.siege import Siege
from chaos.sink import read_lines
from hopyard.ledger.values import moment
from hopyard.specs import State

#: Chains and chords a second, of three and a half jobs on average: as many jobs again as the steady load.
_RATE = 2.0


async def canvas(siege: Siege) -> None:
    """Half of all during one act, what is left during the next; the first call brings the judge."""
    place = siege.place
    faults = {kind: siege.round(f"{kind}s") for kind in ("chain", "chord")}
    first = not any(fault.run for fault in faults.values())
    if first:
        siege.judges.append(lambda e: _judge(siege, e))
    left = {kind: fault.planned - fault.run for kind, fault in faults.items()}
    count = {f"{kind}s": n - n // 2 if first else n for kind, n in left.items()}
    if not any(count.values()):
        return
    process = place.produce(sum(count.values()), mode="canvas", rate=_RATE, **count)
    journal = place.folder / f"journal-{place.processes.index(process)}.jsonl"
    await place.produced(process, 300 + 2 * sum(count.values()) / _RATE)
    for line in await asyncio.to_thread(read_lines, journal):
        if line["outcome"] == "canvas":
            faults[line["kind"]].done()


def _judge(siege: Siege, e: Evidence) -> list[str]:
    """I8: each is over once nothing strikes any more, with the right result.

    That none is over twice, and no body runs twice for nothing, is looked for in all jobs alike (I1, I4).
    """
    rows = {row["id"]: row for row in e.history}
    found = []
    for kind in ("chain", "chord"):
        those = [line for line in e.canvas if line["kind"] == kind]
        waits = [(_wait(rows, line, e.calm), line) for line in those]
        stuck = [(seconds, line) for seconds, line in waits if seconds > plan.STUCK]
        wrong = [(rows[line["ids"][-1]], line) for s, line in waits if s < plan.STUCK and _wrong(rows, line)]
        runs = [start for line in those for id_ in line["ids"] for start in e.starts[id_]]
        siege.round(f"{kind}s").numbers |= {
            "accepted": len(those),
            "jobs_hit": sum(any(map(e.hits_of, e.starts[id_])) for line in those for id_ in line["ids"]),
            "runs": len(runs),
            "bodies_again" if kind == "chord" else "last_links_again": sum(
                len(e.starts[line["ids"][-1]]) > 1 for line in those
            ),
            "given_up": sum(e.given_up(rows[line["ids"][-1]]) for line in those if line["ids"][-1] in rows),
            "stuck": len(stuck),
            "after_last_fault_max_s": round(max((s for s, _ in waits), default=0.0), 1),
        }
        found += [f"I8 stuck: {kind} {line['ids']}: {seconds:.0f} s" for seconds, line in stuck]
        found += [f"canvas: {line['kind']} {line['ids']} left {row['result']}" for row, line in wrong]
    return found


def _wait(rows: dict[str, Any], line: dict[str, Any], calm: float) -> float:
    """Return for how many seconds after the last fault, or its acceptance, a chain or chord was not over."""
    row = rows.get(line["ids"][-1])
    finished = moment(row["finished"]) if row else None
    return max(0.0, finished.timestamp() - max(calm, line["at"])) if finished else 999.0


def _wrong(rows: dict[str, Any], line: dict[str, Any]) -> bool:
    """Say whether a last link or body succeeded with another result than the sum of all."""
    row = rows[line["ids"][-1]]
    return bool(row["state"] == State.SUCCEEDED and json.loads(row["result"])["value"] != line["value"])
