"""Comparing what producers were promised, what runs reported and what the ledger says.

Many faults strike one installation one after another; the checker says which of them hit which run, and a
run again, or an end without success, must have one that did.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from chaos import plan
from hopyard.ledger.values import moment
from hopyard.specs import State

if TYPE_CHECKING:
    from chaos.fleet import Hit

Line = dict[str, Any]

_EFFECT_UNKNOWN = "EffectUnknown"
_WORKER_LOST = "WorkerLost"
#: Of the worker, or of the child process that ran it.
_DEATHS = (_WORKER_LOST, "ProcessDied")
_CRASHES = 3
#: A fault hits what ran so many seconds before: its outcome may not have been stored yet.
_SLACK = plan.LEASE


@dataclass
class Evidence:
    """Everything that is compared, taken when nothing was going on any more."""

    journal: Sequence[Line]
    sink: Sequence[Line]
    history: Sequence[Line]
    live: Sequence[Line]
    hits: Sequence[Hit]
    names: Mapping[int, str]
    ended: Mapping[int, int]
    accepted: set[str]
    quiet: float
    cancelled: set[str] = field(default_factory=set)
    """Jobs that somebody asked to cancel."""
    poison: set[str] = field(default_factory=set)
    """Jobs whose end has a judge of its own."""
    calm: float = 0.0
    """When the last fault was over."""

    def __post_init__(self) -> None:
        for row in (*self.history, *self.live):
            row["id"] = str(row["id"])
        self.accepted |= {line["id"] for line in self.journal if line["outcome"] == "accepted"}
        self.canvas = [line for line in self.journal if line["outcome"] == "canvas"]
        """Chains and chords: the ids of their jobs, the last one's at the end, and its result."""
        self._following = {id_ for line in self.canvas for id_ in line["ids"]}
        self._attempts = {row["id"]: row["attempts"] for row in (*self.history, *self.live)}
        self._dead = {row["id"] for row in self.history if row["state"] == State.DEAD}
        self.starts: dict[str, list[Line]] = defaultdict(list)
        self.effects: dict[str, list[Line]] = defaultdict(list)
        self.fails: set[tuple[str, int, int]] = set()
        self.ends: dict[tuple[str, int, int], float] = {}
        for line in self.sink:
            if line["what"] == "start":
                self.starts[line["job"]].append(line)
            elif line["what"] == "effect":
                self.effects[line["job"]].append(line)
            elif line["what"] in ("fail", "end"):
                self.ends[run_of(line)] = line["at"]
                if line["what"] == "fail":
                    self.fails.add(run_of(line))
        for starts in self.starts.values():  # one that was frozen after its claim may begin after the next
            starts.sort(key=lambda line: line["attempt"])
        self._by_pid: dict[int | None, list[Hit]] = defaultdict(list)
        for hit in self.hits:
            self._by_pid[hit.pid].append(hit)
        self._followed = {
            run_of(one): following["at"] for s in self.starts.values() for one, following in pairwise(s)
        }
        """When the next run of the same job began: the latest moment at which a fault can have hit it."""
        self._pids = {name: pid for pid, name in self.names.items()}

    def hits_of(self, start: Line) -> list[str]:
        """Return the faults that hit a run, by what it reported at its start."""
        until = self.ends.get(run_of(start), self._followed.get(run_of(start), math.inf))
        near = (*self._by_pid[start["pid"]], *self._by_pid[None])
        return [h.fault for h in near if start["at"] <= h.end + _SLACK and until >= h.begin - _SLACK]

    def taken(self, id_: str) -> float:
        """Return when a job was claimed first, as far as that is known; infinity: never.

        A worker that is killed between claim and start leaves an entry of it only.
        """
        entries = json.loads(self._attempts.get(id_) or "[]")
        times = [datetime.fromisoformat(x["began"]).timestamp() for x in entries if x.get("began")]
        return min([*times, *(line["at"] for line in self.starts.get(id_, ()))], default=math.inf)

    def unstarted(self, id_: str) -> list[int | None]:
        """Return the processes that were lost with a claim of a job before they could report its start."""
        entries = json.loads(self._attempts.get(id_) or "[]")
        lost = [self._pids.get(x["name"].partition("@")[0]) for x in entries if x.get("kind") == _WORKER_LOST]
        started = {line["pid"] for line in self.starts.get(id_, ())}
        return [pid for pid in lost if pid not in started]

    def longest_wait(self) -> float:
        """Return how long a job waited at most for its first run, of those that follow no other."""
        submitted = ((x["id"], x["at"]) for x in self.journal if x["outcome"] == "accepted")
        waits = (
            min(line["at"] for line in self.starts[id_]) - at
            for id_, at in submitted
            if id_ not in self._following and id_ in self.starts
        )
        return max(waits, default=0.0)

    def given_up(self, row: Line) -> bool:
        """Say whether a job of a chain or chord was cancelled because the one it follows ended dead."""
        held = row["id"] in self._following and str(row["parent"]) in self._dead
        return held and row["state"] == State.CANCELLED

    def hits_of_worker(self, name: str) -> list[str]:
        """Return the faults that hit a worker at any time, by its name in the ledger."""
        near = (*self._by_pid[self._pids.get(name.partition("@")[0])], *self._by_pid[None])
        return [hit.fault for hit in near]


def run_of(line: Line) -> tuple[str, int, int]:
    """Return what names a run: the job and its claim."""
    return (line["job"], *line["fence"])


def check(e: Evidence) -> list[str]:
    """Return every violation of the invariants, each as one line."""
    found = [] if e.sink else ["nothing ran: there is nothing to compare"]
    parts = (_once_over, _ghosts, _reasons, _stale, _runs, _effects, _pages, _fires, _exits)
    return found + [line for part in parts for line in part(e)]


def figures(e: Evidence) -> dict[str, Any]:
    """Return the numbers of the whole."""
    again: Counter[str] = Counter()
    for id_, starts in e.starts.items():
        for line in starts[:-1]:
            why = ["its own failure"] if (id_, *line["fence"]) in e.fails else sorted({*e.hits_of(line)})
            again[" or ".join(why) or "NO FAULT"] += 1
    lost = [row for row in e.history if row["state"] == State.DEAD and row["id"] not in e.poison]
    kinds = Counter(json.loads(row["error"] or "{}").get("kind") for row in lost)
    return {
        "jobs": len(e.accepted),
        "fires": sum(row["schedule"] is not None for row in e.history),
        "runs": sum(map(len, e.starts.values())),
        "again": dict(again.most_common()),
        "dead": dict(kinds),
        "refused": sum(line["outcome"] == "refused" for line in e.journal),
        "rolled_back": sum(line["outcome"] == "rolled back" for line in e.journal),
        "starved_workers": sum(hit.fault == "starved" for hit in e.hits),
        "first_run_after_max_s": round(e.longest_wait(), 1),
        "quiet_s": round(e.quiet, 1),
    }


def _once_over(e: Evidence) -> Iterable[str]:
    """I1: every acknowledged job is in history once, and no longer live."""
    over = Counter(row["id"] for row in e.history)
    live = {row["id"]: row for row in e.live}
    yield from (
        f"I1 lost: {id_} was accepted and is nowhere" for id_ in e.accepted - over.keys() - live.keys()
    )
    for row in e.live:
        yield f"I1 stuck: {row['id']} {row['task']} {State(row['state']).label}: {row['reason']}"
    yield from (f"I1 twice: {id_} is live and over" for id_ in live.keys() & over.keys())
    yield from (f"I1 twice: {id_} is over {n} times" for id_, n in over.items() if n > 1)


def _ghosts(e: Evidence) -> Iterable[str]:
    """I2: what was rolled back has no row and never ran."""
    back = {line["id"] for line in e.journal if line["outcome"] == "rolled back"}
    rows = {row["id"] for row in (*e.history, *e.live)}
    return (f"I2 ghost: {id_} was rolled back" for id_ in back & (rows | e.starts.keys()))


def _reasons(e: Evidence) -> Iterable[str]:
    """A job ends without success only for a reason that a fault explains."""
    for row in e.history:
        if row["state"] == State.SUCCEEDED or row["id"] in e.poison:
            continue
        if row["state"] == State.CANCELLED and (row["id"] in e.cancelled or e.given_up(row)):
            continue
        error = json.loads(row["error"] or "{}")
        entries = [x for x in json.loads(row["attempts"] or "[]") if x.get("kind") in _DEATHS]
        hit = any(map(e.hits_of, e.starts[row["id"]])) or entries
        if error.get("kind") == _EFFECT_UNKNOWN and hit:
            continue
        # Also one that only shared its worker with something poisonous: each of its workers was hit.
        if error.get("kind") in _DEATHS and len(entries) >= _CRASHES:
            lost = [x["name"] for x in entries if x["kind"] == _WORKER_LOST]
            unhit = [name for name in lost if not e.hits_of_worker(name)]
            if unhit:
                yield f"I1 wrong end: {row['id']} was charged with the loss of {unhit}, which nothing hit"
            continue
        label = State(row["state"]).label
        yield f"I1 wrong end: {row['id']} {row['task']} {label}: {error.get('kind')}: {error.get('message')}"


def _stale(e: Evidence) -> Iterable[str]:
    """I3: the outcome in the ledger is that of the claim that held the job."""
    for row in e.history:
        result = json.loads(row["result"] or "null")
        if isinstance(result, dict) and result.get("fence") != [row["worker"], row["claim"]]:
            held = [row["worker"], row["claim"]]
            yield f"I3 stale write: {row['id']} has the result of {result.get('fence')}, held by {held}"


def _runs(e: Evidence) -> Iterable[str]:
    """I4: a second run needs a fault that hit the first, or its own failure; no claim runs twice."""
    for id_, starts in e.starts.items():
        fences = Counter(tuple(line["fence"]) for line in starts)
        yield from (f"I4 one claim, {n} runs: {id_} {fence}" for fence, n in fences.items() if n > 1)
        for line in starts[:-1]:
            if run_of(line) not in e.fails and not e.hits_of(line):
                yield f"I4 run again without a fault: {id_} {line['task']} {line['fence']}"


def _effects(e: Evidence) -> Iterable[str]:
    """I4: a guarded effect never twice; a job that succeeded did it."""
    yield from (f"I4 effect {len(lines)} times: {id_}" for id_, lines in e.effects.items() if len(lines) > 1)
    for row in e.history:
        done = row["task"] != "site.step" or row["state"] != State.SUCCEEDED or row["id"] in e.effects
        if not done:
            yield f"I1 effect never done: {row['id']} succeeded"


def _pages(e: Evidence) -> Iterable[str]:
    """A run goes on at the last checkpoint: it repeats at most the last page that was begun before it."""
    pages: dict[tuple[str, int, int], list[Line]] = defaultdict(list)
    for line in e.sink:
        if line["what"] == "page":
            pages[run_of(line)].append(line)
    for id_, starts in e.starts.items():
        before: list[Line] = []
        for start in starts:
            floor = max((line["page"] for line in before if line["at"] < start["at"]), default=0)
            lowest = min((line["page"] for line in pages[run_of(start)]), default=floor)
            if lowest < floor:
                yield f"checkpoint lost: {id_} went back to page {lowest}"
            before += pages[run_of(start)]


def _fires(e: Evidence) -> Iterable[str]:
    """I7: one job for each due time of a schedule, and none between the first and the last is missing."""
    rows = [row for row in (*e.history, *e.live) if row["schedule"] is not None]
    fires = Counter((row["schedule"], row["due"]) for row in rows)
    yield from (f"I7 {n} jobs for {schedule} due {due}" for (schedule, due), n in fires.items() if n > 1)
    dues: dict[str, set[datetime]] = defaultdict(set)
    for row in rows:
        due = moment(row["due"])
        if due:
            dues[row["schedule"]].add(due)
    for name, times in dues.items():
        for one, following in pairwise(sorted(times)):
            if following - one > timedelta(seconds=1.001):
                yield f"I7 missed: {name} between {one} and {following}"


def _exits(e: Evidence) -> Iterable[str]:
    """No process ends by itself; a scheduler that was only stopped goes on."""
    hit = {one.pid for one in e.hits}
    for pid, status in e.ended.items():
        if pid not in hit or (pid not in e.names and status > 0):
            yield f"a process ended by itself with {status}: {e.names.get(pid, pid)}"


class Again(NamedTuple):
    """A job that ran again, so many seconds after its worker's death.

    `twice`: a worker was hit after the job had been given back, which may have had its message and not yet
    claimed it. Nobody knows of such a message: the job is rung for when its queue is empty.
    """

    job: str
    died: float
    seconds: float
    twice: bool


def recovery(e: Evidence, fault: str) -> list[Again]:
    """I5: how long jobs waited that ran in a worker, or were about to, when a fault killed it."""
    died = {hit.pid: hit.begin for hit in e.hits if hit.fault == fault}
    found = []
    for id_, starts in e.starts.items():
        ran = [line["pid"] for line in starts[:-1] if run_of(line) not in e.ends]
        for death in (died[pid] for pid in (*ran, *e.unstarted(id_)) if pid in died):
            again = min((line["at"] for line in starts if line["at"] > death), default=None)
            if again is None:  # it ended dead
                continue
            twice = any(death + plan.LEASE < hit.begin < again for hit in e.hits if hit.pid)
            found.append(Again(id_, death, again - death, twice))
    return found


def hit_jobs(e: Evidence, fault: str) -> int:
    """Return how many jobs a fault hit while they ran."""
    return sum(any(fault in e.hits_of(line) for line in starts) for starts in e.starts.values())


def p95(seconds: Sequence[float]) -> float:
    """The 95th percentile of sorted values; 0 of none."""
    return seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))] if seconds else 0.0
