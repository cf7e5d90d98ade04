"""The ledger's statements, in any order Hypothesis thinks of, against a model in plain Python (T17).

After each step the whole ledger is read and must equal the model (`tests/ledger_model.py`), row by row, and
what needs no model must hold as well. Time passes by moving rows' times; nothing sleeps.

`make test` takes 1500 steps on each database, always the same ones. `HOPYARD_INTERNAL_CHAOS=smoke`
takes 3000 (at least 500 are promised) and `full` 30000 (5000), of a random seed; the seed is printed, and
`HOPYARD_INTERNAL_SEED` repeats it.
A failure prints the shortest list of steps that leads to it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hopyard.errors import StaleFence, UnknownJob
from hopyard.ledger import cancelling, deadletters, effects, keys, notes, queues, waiting, workers
from hopyard.ledger.crashes import MAX_CRASHES
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.values import ORDINARY, Again, Done, NewJob, utcnow
from hopyard.specs import State, Unique
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ledger_model import Job, Key, Model, Worker, emptied, expected, seen

MODE = os.environ.get("HOPYARD_INTERNAL_CHAOS", "")
#: Examples of `STEPS` steps each.
EXAMPLES = {"smoke": 60, "full": 600}.get(MODE, 30)
STEPS = 50
SEED = int(os.environ.get("HOPYARD_INTERNAL_SEED") or (int.from_bytes(os.urandom(4), "big") if MODE else 17))

WORKERS, KEYS, QUEUES, TASKS = 3, ("k1", "k2"), ("q1", "q2"), ("a.one", "b.two")
HOUR = timedelta(hours=1)
#: Which of the things there are: taken modulo their number, so that any choice is one.
which = st.integers(0, 23)
several = st.lists(which, min_size=1, max_size=4)
queue_names, task_names, key_names = map(st.sampled_from, (QUEUES, TASKS, KEYS))
#: How a fence is spoilt: not at all, another worker's, another claim's.
spoilt = st.sampled_from(["", "", "", "worker", "claim"])


def numbered(n: int) -> str:
    """A time-ordered id that is the same in each run."""
    return f"0190f2b0-0000-7000-8000-{n:012x}"


#: The kinds of steps with what they are given, and their names as often as they are to be taken.
KINDS: dict[str, dict[str, Any]] = {}
NAMES: list[str] = []
Step = TypeVar("Step", bound=Callable[..., None])


def step(weight: int, **given: Any) -> Callable[[Step], Step]:
    """Mark a method as a kind of step. Rules of their own would be left out of whole runs by Hypothesis."""

    def mark(method: Step) -> Step:
        KINDS[method.__name__] = given
        NAMES.extend([method.__name__] * weight)
        return method

    return mark


def calls() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.sampled_from(NAMES).flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries(KINDS[name]))
    )


class Machine(RuleBasedStateMachine):
    """Each step does one thing to the ledger and to the model, and compares their answers."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    database: Database
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.made = 0
        self.claims = 0
        self.tickets: list[tuple[str, tuple[int, int]]] = []
        self.granted: set[tuple[str, int]] = set()
        self.over: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, Any] = {}
        self.run(emptied(self.database))
        for _ in range(WORKERS):
            self.register()
        # Something that runs and something that waits, so that most rules have an object from the start.
        self.submit([(TASKS[0], QUEUES[0], "now")] * 2 + [(TASKS[1], QUEUES[1], "now")], fresh=True)
        self.claim(0, [0, 2])

    # --- what there is

    def new(self, task: str, queue: str, when: str) -> tuple[str, NewJob, Job]:
        """A job, as the ledger and as the model take it. `when`: now, later or due."""
        self.made += 1
        id_, body = numbered(self.made), json.dumps([[], {"n": self.made}, None])
        state = State.QUEUED if when == "now" else State.SCHEDULED
        eta = {"now": None, "later": utcnow() + HOUR, "due": utcnow() - HOUR}[when]
        headers = json.dumps({"id": id_}) if self.made % 3 == 0 else ""
        stored = NewJob(id_, task, queue, 5, body, headers, state, eta)
        return id_, stored, Job(task, queue, body, state, timed=eta is not None, due=when == "due")

    def ids(self, picks: list[int]) -> list[str]:
        """Ids of jobs live, over and, at times, of none."""
        known = [*self.model.live, *[*self.model.past][-3:], numbered(999_999)]
        return [known[n % len(known)] for n in picks]

    def worker(self, n: int) -> int:
        return [*self.model.workers][-WORKERS:][n % WORKERS]

    def ticket(self, n: int, spoil: str = "") -> tuple[str, tuple[int, int]]:
        """A job and a fence: of a claim that was granted once, often one that still runs, at times spoilt."""
        running = [ticket for ticket in self.tickets if self.model.ours(*ticket)]
        known = running if running and n % 4 else self.tickets
        id_, (worker, claim) = known[-1 - n % len(known)]
        if spoil == "worker":
            worker = self.worker(n) if self.worker(n) != worker else worker + 1
        return id_, (worker, claim + (spoil == "claim"))

    def moved(self, table: str, column: str, key: str, id_: Any, by: timedelta) -> None:
        """Let time pass for one row."""
        earlier = self.database.dialect.plus(column, "$2")
        self.run(
            self.database.execute(
                f"UPDATE {table} SET {column} = {earlier} WHERE {key} = $1", id_, -by.total_seconds()
            )
        )

    # --- submitting

    @step(
        2,
        jobs=st.lists(
            st.tuples(task_names, queue_names, st.sampled_from(["now", "now", "later", "due"])),
            min_size=1,
            max_size=3,
        ),
        fresh=st.booleans(),
    )
    def submit(self, jobs: list[tuple[str, str, str]], fresh: bool) -> None:
        made = [self.new(*values) for values in jobs]
        new, at, entry = self.run(self.database.submit([stored for _, stored, _ in made], fresh=fresh))
        assert bool(entry) == (fresh and len(made) > 1 and all(row[5:] == ORDINARY for _, row, _ in made))
        self.stored |= {id_: (entry or id_, at) for id_ in new}
        assert new == self.model.submit({id_: job for id_, _, job in made}, entry)

    @step(1, n=which, task=task_names, queue=queue_names)
    def submit_again(self, n: int, task: str, queue: str) -> None:
        """The same id is the same job, whether it lives or is over."""
        (id_,) = self.ids([n % len(self.model.accepted())])
        if id_ not in self.model.accepted():
            return
        _, stored, _ = self.new(task, queue, "now")
        assert not self.run(self.database.submit([stored._replace(id=id_)])).new

    @step(
        2,
        key=key_names,
        mode=st.sampled_from(["reject", "replace", "debounce"]),
        timed=st.booleans(),
        expired=st.booleans(),
        when=st.sampled_from(["now", "later", "due"]),
    )
    def submit_unique(self, key: str, mode: Any, timed: bool, expired: bool, when: str) -> None:
        if expired:
            self.key_runs_out(key)
        id_, stored, job = self.new(TASKS[0], QUEUES[0], when)
        unique = Unique(key, mode, seconds=3600 if timed else None, shared=True)
        answer = self.run(keys.submit_unique(self.database, stored, unique))
        assert answer == self.model.submit_unique(id_, job, key, mode, timed)

    def key_runs_out(self, key: str) -> None:
        held = self.model.keys.get(key)
        if held is not None and held.held is not None:
            self.moved("job_key", "until", "key", key, 2 * HOUR)
            self.model.keys[key] = Key(held.job, False)

    # --- running

    @step(4, n=which, picks=several)
    def claim(self, n: int, picks: list[int]) -> None:
        self.claims += 1
        worker, ids = self.worker(n), self.ids(picks)
        claims = self.run(self.database.claim(ids, worker, self.claims))
        assert {claim.id for claim in claims} == self.model.claim(ids, worker, self.claims)
        assert len(claims) == len({claim.id for claim in claims})
        for claim in claims:
            job = self.model.live[claim.id]
            assert (claim.claim, claim.attempt, claim.crashes) == (self.claims, job.attempt, job.crashes)
            assert (claim.body, claim.cancel) == (job.body, job.cancel)
            assert (claim.id, claim.claim) not in self.granted
            self.granted.add((claim.id, claim.claim))
            self.tickets.append((claim.id, (worker, claim.claim)))

    @step(
        3,
        picks=several,
        spoil=spoilt,
        state=st.sampled_from([State.SUCCEEDED, State.DEAD, State.CANCELLED]),
    )
    def finish(self, picks: list[int], spoil: str, state: State) -> None:
        """Outcomes come in batches of one worker, some of them twice."""
        chosen = [self.ticket(n, spoil) for n in picks]
        worker = chosen[0][1][0]
        batch = [(id_, fence) for id_, fence in chosen if fence[0] == worker]
        entry = '{"error": "x"}' if state == State.DEAD else None
        done = [Done(id_, fence[1], state, "1", entry, entry) for id_, fence in batch]
        ours = self.run(self.database.finish(done, worker))
        assert ours == {
            id_ for id_, fence in batch if self.model.finish(id_, fence, state, entry is not None)
        }

    @step(2, picks=several, spoil=spoilt, due=st.booleans())
    def again(self, picks: list[int], spoil: str, due: bool) -> None:
        chosen = [self.ticket(n, spoil) for n in picks]
        worker = chosen[0][1][0]
        batch = [(id_, fence) for id_, fence in chosen if fence[0] == worker]
        eta = utcnow() - HOUR if due else utcnow() + HOUR
        jobs = [Again(id_, fence[1], eta, "retry", '{"error": "x"}') for id_, fence in batch]
        ours = self.run(self.database.again(jobs, worker))
        assert ours == {id_ for id_, fence in batch if self.model.again(id_, fence, "retry", due)}

    @step(
        3,
        n=which,
        spoil=spoilt,
        what=st.sampled_from(["checkpoint", "effect_begins", "effect_begins", "effect_ends"]),
        name=st.sampled_from(["mail", "pay"]),
    )
    def writes(self, n: int, spoil: str, what: str, name: str) -> None:
        getattr(self, what)(n, spoil, name)

    def checkpoint(self, n: int, spoil: str, name: str) -> None:
        id_, fence = self.ticket(n, spoil)
        if self.held(id_, fence, notes.write_checkpoint(self.database, id_, fence, {"n": self.steps})):
            self.model.checkpoints[id_] = self.steps

    def effect_begins(self, n: int, spoil: str, name: str) -> None:
        id_, fence = self.ticket(n, spoil)
        begun: list[effects.Begun] = []

        async def begin() -> None:
            begun.append(await effects.begin(self.database, id_, fence, name, {}))

        if self.held(id_, fence, begin()):
            before = self.model.effects.get((id_, name), "failed")
            standing = {"done": "done", "begun": "unknown", "failed": "new"}[before]
            assert begun[0].standing == standing
            if standing == "new":
                self.model.effects[id_, name] = "begun"

    def effect_ends(self, n: int, spoil: str, name: str) -> None:
        state: Any = "done" if n % 3 else "failed"
        id_, fence = self.ticket(n, spoil)
        if (
            self.held(id_, fence, effects.end(self.database, id_, fence, name, state))
            and (id_, name) in self.model.effects
        ):
            self.model.effects[id_, name] = state

    def held(self, id_: str, fence: tuple[int, int], write: Coroutine[Any, Any, None]) -> bool:
        """Write under a fence; it must be accepted exactly where the fence is right."""
        if self.model.ours(id_, fence):
            self.run(write)
            return True
        with pytest.raises(StaleFence):
            self.run(write)
        return False

    @step(1, picks=several, spoil=spoilt)
    def release(self, picks: list[int], spoil: str) -> None:
        chosen = [self.ticket(n, spoil) for n in picks]
        worker = chosen[0][1][0]
        batch = [(id_, fence) for id_, fence in chosen if fence[0] == worker]
        self.run(waiting.release(self.database, [(id_, fence[1]) for id_, fence in batch], worker))
        self.model.release(batch)

    # --- workers

    @step(
        3,
        n=which,
        what=st.sampled_from(
            ["register", "beat", "lease_runs_out", "rescue", "worker_dies", "worker_dies", "leave"]
        ),
    )
    def of_a_worker(self, n: int, what: str) -> None:
        getattr(self, what)(n)

    def register(self, _: int = 0) -> None:
        number = self.run(
            workers.register(self.database, name="w", role="worker", queues=QUEUES, plugins={}, lease=15)
        )
        assert number not in self.model.workers
        self.model.workers[number] = Worker()

    def beat(self, n: int) -> None:
        worker = self.worker(n)
        assert self.run(workers.beat(self.database, worker)) == self.model.beat(worker)

    def lease_runs_out(self, n: int) -> None:
        worker = self.worker(n)
        self.moved("worker", "beat", "id", worker, HOUR)
        self.model.workers[worker].late = True

    def rescue(self, _: int = 0) -> None:
        done = self.run(workers.rescue(self.database))
        assert ({*done.workers}, len(done.again), done.dead) == self.model.rescue()

    def worker_dies(self, n: int) -> None:
        """One that runs something is lost at once, so that jobs get to their last crash."""
        running = [self.model.live[id_].worker for id_ in self.model.held(lambda _: True)]
        if not running:
            return
        worker = running[n % len(running)]
        assert worker is not None
        if not self.model.workers[worker].stopped:
            self.moved("worker", "beat", "id", worker, HOUR)
            self.model.workers[worker].late = True
            self.rescue()

    def leave(self, n: int) -> None:
        worker = self.worker(n)
        self.run(workers.leave(self.database, worker))
        self.model.leave(worker)
        self.register()

    # --- waiting

    @step(
        3,
        picks=several,
        what=st.sampled_from(
            ["time_comes", "promote", "park", "unpark", "relay", "rung", "heard", "pause", "resume", "resume"]
        ),
    )
    def of_those_that_wait(self, picks: list[int], what: str) -> None:
        getattr(self, what)(picks)

    def time_comes(self, picks: list[int]) -> None:
        timed = [id_ for id_, job in self.model.live.items() if job.timed]
        if timed:
            id_ = timed[picks[0] % len(timed)]
            self.moved("job_live", "eta", "id", id_, 2 * HOUR)
            self.model.live[id_].due = True

    def promote(self, _: list[int]) -> None:
        rings = self.run(waiting.promote(self.database))
        assert sorted(ring.id for ring in rings) == sorted(self.model.promote())

    def park(self, picks: list[int]) -> None:
        ids = self.ids(picks)
        self.run(waiting.park(self.database, ids, "unknown"))
        self.model.park(ids, "unknown")

    def unpark(self, picks: list[int]) -> None:
        task = TASKS[picks[0] % 2]
        assert self.run(waiting.unpark(self.database, [task])) == self.model.unpark(task)

    def relay(self, _: list[int]) -> None:
        rings = self.run(waiting.unsent(self.database, -1.0))
        assert {ring.id for ring in rings} == self.model.unrung()

    def rung(self, picks: list[int]) -> None:
        ids = self.ids(picks)
        self.run(self.database.drop_sent(self.run(waiting.entries(self.database, ids))))
        self.model.outbox -= {*ids}

    def heard(self, picks: list[int]) -> None:
        """The broker has got messages of jobs, which may have been handed back since."""
        entries = [self.stored[id_] for id_ in self.ids(picks) if id_ in self.stored]
        self.run(self.database.drop_sent(entries))
        self.model.heard([id_ for id_, _ in entries])

    def pause(self, picks: list[int]) -> None:
        queue = QUEUES[picks[0] % 2]
        assert self.run(queues.pause(self.database, queue, "me")) == (queue not in self.model.paused)
        self.model.paused.add(queue)

    def resume(self, picks: list[int]) -> None:
        queue = QUEUES[picks[0] % 2]
        assert (self.run(queues.resume(self.database, queue)) or 0) == self.model.resume(queue)

    # --- ending

    @step(1, picks=several)
    def cancel(self, picks: list[int]) -> None:
        ids = self.ids(picks)
        told = len(self.model.told)
        answer = self.run(cancelling.cancel(self.database, ids, "no more"))
        assert answer == self.model.cancel(ids, "no more")
        self.model.told[told:] = sorted(self.model.told[told:])  # orders are written in the order of ids

    def dead(self, n: int) -> str:
        found = [id_ for id_, job in self.model.past.items() if job.state == State.DEAD]
        return found[n % len(found)]

    @step(2, n=which, again=st.sampled_from([True, True, False]))
    def dead_letter(self, n: int, again: bool) -> None:
        if any(job.state == State.DEAD for job in self.model.past.values()):
            (self.replay if again else self.discard)(n)

    def replay(self, n: int) -> None:
        id_ = self.dead(n)
        jobs = self.run(deadletters.replay(self.database, deadletters.Filter([id_])))
        assert {old: job.id for old, job in jobs.items()} == {id_: self.model.replay(id_)}

    def discard(self, n: int) -> None:
        id_ = self.dead(n)
        assert self.run(deadletters.discard(self.database, deadletters.Filter([id_]))) == 1
        assert self.model.discard(id_)
        del self.over[id_]

    @step(1, n=which)
    def only_the_dead_are_replayed(self, n: int) -> None:
        (id_,) = self.ids([n])
        job = self.model.past.get(id_)
        if job is None or job.state != State.DEAD:
            for call in (deadletters.replay, deadletters.discard):
                with pytest.raises(UnknownJob):
                    self.run(call(self.database, deadletters.Filter([id_])))

    @rule(call=st.deferred(calls))
    def then(self, call: tuple[str, dict[str, Any]]) -> None:
        name, given = call
        getattr(self, name)(**given)

    # --- what always holds

    @invariant()
    def ledger_and_model_agree(self) -> None:
        type(self).steps += 1
        self.now = self.run(seen(self.database))
        want = expected(self.model)
        for what, found in self.now.items():
            assert found == want[what], what

    @invariant()
    def promises_hold(self) -> None:
        live, past = self.now["live"], self.now["past"]
        assert not {*live} & {*past}, "a job is live and over at once"
        assert {*live, *past} == self.model.accepted(), "a job is lost"
        for row in past.values():
            assert row["state"].final
            assert row["crashes"] <= MAX_CRASHES
        for row in live.values():
            assert not row["state"].final
            assert row["crashes"] < MAX_CRASHES
            assert (row["worker"] is not None) == (row["state"] == State.RUNNING)
        for id_, row in self.over.items():
            assert past.get(id_) == row, "a terminal row changed"
        self.over = past
        for key in KEYS:
            holder = self.model.holder(key)
            assert self.run(keys.holders(self.database, key)) == ([(key, holder)] if holder else [])


@pytest.mark.slow
@pytest.mark.timeout(3600 if MODE == "full" else 300)
def test_the_ledger_does_what_its_model_does(database_url: str) -> None:
    print(f"repeat with HOPYARD_INTERNAL_SEED={SEED} HOPYARD_INTERNAL_CHAOS={MODE}")  # noqa: T201
    with asyncio.Runner() as runner:
        opened = open_database(database_url)

        class Driven(Machine):
            run = staticmethod(runner.run)
            database = opened

        how = settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[*HealthCheck],
            print_blob=False,
        )
        try:
            run_state_machine_as_test(seed(SEED)(Driven), settings=how)
        finally:
            runner.run(opened.close())
    assert Driven.steps >= {"smoke": 500, "full": 5000}.get(MODE, 300), "fewer steps than promised"
