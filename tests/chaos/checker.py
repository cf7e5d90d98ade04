"""Comparing what producers were promised, what runs reported and what the ledger says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hopyard.specs import State

Line = dict[str, Any]

#: Ends that a fault may give to a job: the ledger then says why.
_EFFECT_UNKNOWN = "EffectUnknown"
_WORKER_LOST = "WorkerLost"
_CRASHES = 3


@dataclass
class Evidence:
    """Everything that is compared, taken when nothing was going on any more."""

    journal: list[Line]
    sink: list[Line]
    history: list[Line]
    live: list[Line]
    hit: set[int]
    quiet: float
    numbers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in (*self.history, *self.live):
            row["id"] = str(row["id"])
        self.starts: dict[str, list[Line]] = defaultdict(list)
        self.effects: dict[str, list[Line]] = defaultdict(list)
        self.fails: set[tuple[str, int, int]] = set()
        for line in self.sink:
            if line["what"] == "start":
                self.starts[line["job"]].append(line)
            elif line["what"] == "effect":
                self.effects[line["job"]].append(line)
            elif line["what"] == "fail":
                self.fails.add((line["job"], *line["fence"]))

    def accepted(self) -> set[str]:
        """Ids of acknowledged submissions."""
        return {line["id"] for line in self.journal if line["outcome"] == "accepted"}


def check(evidence: Evidence, *, all_hit: bool = False, cancelled: bool = False) -> list[str]:
    """Return every violation of the invariants, each as one line.

    `all_hit`: the fault hit every process (the database was killed), so that a second run needs no reason.
    `cancelled`: jobs may end cancelled.
    """
    e = evidence
    found = [*_once_over(e), *_ghosts(e), *_reasons(e, all_hit, cancelled), *_stale(e)]
    found += [] if e.sink else ["nothing ran: there is nothing to compare"]
    found += [*_runs(e, all_hit), *_effects(e), *_pages(e), *_fires(e)]
    e.numbers |= {
        "jobs": len(e.accepted()) or len(e.history),
        "runs": sum(map(len, e.starts.values())),
        "again": sum(len(starts) > 1 for starts in e.starts.values()),
        "dead": sum(row["state"] == State.DEAD for row in e.history),
        "quiet_s": round(e.quiet, 1),
    }
    return found


def _once_over(e: Evidence) -> list[str]:
    """I1: every acknowledged job is in history once, and no longer live."""
    over = Counter(row["id"] for row in e.history)
    live = {row["id"]: row for row in e.live}
    found = [
        f"I1 lost: {id_} was accepted and is nowhere" for id_ in e.accepted() - over.keys() - live.keys()
    ]
    found += [f"I1 stuck: {row['id']} {State(row['state']).label}: {row['reason']}" for row in e.live]
    found += [f"I1 twice: {id_} is live and over" for id_ in live.keys() & over.keys()]
    return found + [f"I1 twice: {id_} is over {n} times" for id_, n in over.items() if n > 1]


def _ghosts(e: Evidence) -> list[str]:
    """I2: what was rolled back has no row and never ran."""
    back = {line["id"] for line in e.journal if line["outcome"] == "rolled back"}
    rows = {row["id"] for row in (*e.history, *e.live)}
    return [f"I2 ghost: {id_} was rolled back" for id_ in back & (rows | e.starts.keys())]


def _reasons(e: Evidence, all_hit: bool, cancelled: bool) -> list[str]:
    """A job ends without success only for a reason that a fault explains."""
    found = []
    for row in e.history:
        if row["state"] == State.SUCCEEDED or row["task"] in ("site.segfault", "site.killer"):
            continue
        if row["state"] == State.CANCELLED and cancelled:
            continue
        error = json.loads(row["error"] or "{}")
        entries = json.loads(row["attempts"] or "[]")
        lost = sum(entry.get("kind") == _WORKER_LOST for entry in entries)
        hit = all_hit or lost or any(line["pid"] in e.hit for line in e.starts[row["id"]])
        if error.get("kind") == _EFFECT_UNKNOWN and hit:
            continue
        if error.get("kind") == _WORKER_LOST and lost >= _CRASHES:
            continue
        found.append(f"I1 wrong end: {row['id']} {State(row['state']).label}: {error.get('message')}")
    return found


def _stale(e: Evidence) -> list[str]:
    """I3: the outcome in the ledger is that of the claim that held the job."""
    found = []
    for row in e.history:
        result = json.loads(row["result"] or "null")
        if isinstance(result, dict) and result.get("fence") != [row["worker"], row["claim"]]:
            found.append(
                f"I3 stale write: {row['id']} has the result of {result.get('fence')}, "
                f"held by {[row['worker'], row['claim']]}"
            )
    return found


def _runs(e: Evidence, all_hit: bool) -> list[str]:
    """I4: a second run needs a fault that hit the first, or its own failure; no claim runs twice."""
    found = []
    for id_, starts in e.starts.items():
        fences = Counter(tuple(line["fence"]) for line in starts)
        found += [f"I4 one claim, {n} runs: {id_} {fence}" for fence, n in fences.items() if n > 1]
        for line in starts[:-1]:
            failed = (id_, *line["fence"]) in e.fails
            if not failed and line["pid"] not in e.hit and not all_hit:
                found.append(f"I4 run again without a fault: {id_} {line['fence']}")
    return found


def _effects(e: Evidence) -> list[str]:
    """I4: a guarded effect never twice; a job that succeeded did it."""
    found = [f"I4 effect {len(lines)} times: {id_}" for id_, lines in e.effects.items() if len(lines) > 1]
    return found + [
        f"I1 effect never done: {row['id']} succeeded"
        for row in e.history
        if row["task"] == "site.step" and row["state"] == State.SUCCEEDED and row["id"] not in e.effects
    ]


def _pages(e: Evidence) -> list[str]:
    """A run goes on at the last checkpoint: it repeats at most the last page that was begun before it."""
    last: dict[str, int] = {}
    floor: dict[tuple[str, int, int], int] = {}
    found = []
    for line in e.sink:
        run = (line["job"], *line["fence"])
        if line["what"] == "start":
            floor[run] = last.get(line["job"], 0)
        elif line["what"] == "page":
            if line["page"] < floor.get(run, 0):
                found.append(f"checkpoint lost: {line['job']} went back to page {line['page']}")
            last[line["job"]] = max(line["page"], last.get(line["job"], 0))
    return found


def _fires(e: Evidence) -> list[str]:
    """I7: one job for each due time of a schedule."""
    fires = Counter(
        (row["schedule"], row["due"]) for row in (*e.history, *e.live) if row["schedule"] is not None
    )
    return [f"I7 {n} jobs for {schedule} due {due}" for (schedule, due), n in fires.items() if n > 1]


def recovery(evidence: Evidence, struck: dict[int, float]) -> list[float]:
    """I5: seconds from the death of a process to the next start of each job that ran in it."""
    ended = {(line["job"], *line["fence"]) for line in evidence.sink if line["what"] in ("end", "fail")}
    seconds = []
    for id_, starts in evidence.starts.items():
        for line, following in pairwise(starts):
            if line["pid"] in struck and (id_, *line["fence"]) not in ended:
                seconds.append(following["at"] - struck[line["pid"]])
    return sorted(seconds)


def p95(seconds: list[float]) -> float:
    """The 95th percentile of sorted values; 0 of none."""
    return seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))] if seconds else 0.0
