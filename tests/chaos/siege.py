"""What all strikes on one installation share: rounds of each fault, and who judges them at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

from chaos import plan
from chaos.checker import Evidence
from chaos.machines import Machine
from chaos.place import Place

#: So many rounds of a fault may be done again because the machine stood still.
_TRIES = 3
Judge = Callable[[Evidence], list[str]]


class Round:
    """What is done of one fault on one pair."""

    def __init__(self, fault: str, pair: str) -> None:
        self.fault, self.pair = fault, pair
        self.planned = plan.rounds(fault, pair)
        self.rng = random.Random(f"{plan.SEED}:{fault}:{pair}")
        self.begun = self.run = 0
        self.late = 0
        """Rounds that were done again, for the machine stood still meanwhile."""
        self.numbers: dict[str, Any] = {}

    def turns(self) -> Iterator[int]:
        """Count the rounds out: streams that share this object do all of them between them."""
        while self.begun < self.planned:
            self.begun += 1
            yield self.begun - 1

    def done(self) -> None:
        """Count a round that was run."""
        self.run += 1

    def again(self) -> None:
        """Put the round that was begun last back: it has to be done again."""
        self.begun -= 1

    def say(self) -> None:
        """Print the figures at once: the end of the whole is an hour away."""
        print(f"  {self.pair} {self.fault} {self.run}/{self.planned} {self.numbers}", flush=True)  # noqa: T201

    def longest(self, name: str, seconds: float) -> None:
        """Keep the greatest of some seconds."""
        self.numbers[name] = max(round(seconds, 1), self.numbers.get(name, 0.0))


class Siege:
    """One installation and all that strikes it."""

    def __init__(
        self, place: Place, pair: str, database: Machine | None, broker: Machine, empty: Callable[[], None]
    ) -> None:
        self.place, self.pair, self.database, self.broker, self.empty = place, pair, database, broker, empty
        self.rounds = {
            fault: Round(fault, pair)
            for fault in plan.FAULTS
            if (fault, pair) not in plan.SKIPS
            and fault not in plan.ALONE
            and (not plan.ONLY or fault in plan.ONLY)
        }
        self.judges: list[Judge] = []
        """Of single faults, over the evidence."""
        self.cancelled: set[str] = set()
        self.poison: set[str] = set()
        self.numbers: dict[str, Any] = {}
        """Of the whole, for the report."""
        self._schedulers, self._workers = asyncio.Lock(), asyncio.Lock()
        self._points: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def round(self, fault: str) -> Round:
        """Return a fault's rounds; of one that is left out here, with none planned."""
        return self.rounds.get(fault) or Round(fault, self.pair)

    @asynccontextmanager
    async def schedulers(self) -> AsyncIterator[None]:
        """Alone with the schedulers: two strikes at once would have no time limit in common."""
        async with self._schedulers:
            yield

    @asynccontextmanager
    async def workers(self) -> AsyncIterator[None]:
        """Alone with the workers: one that can work is left whatever the others do."""
        async with self._workers:
            yield

    def point(self, name: str) -> asyncio.Lock:
        """Alone with a named step: who obeys tells nobody which of two orders it was."""
        return self._points[name]

    async def stream(self, fault: Round, strike: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Do a fault's rounds, by their numbers, some of them at the same time."""

        async def one() -> None:
            for turn in fault.turns():
                await strike(turn)

        await asyncio.gather(*(one() for _ in range(plan.STREAMS.get(fault.fault, 1))))

    async def struck(self, strike: Callable[[Siege], Coroutine[Any, Any, None]]) -> None:
        """Strike; what stops one kind of strike is noted: the others and the checker still tell something."""
        try:
            await strike(self)
        except AssertionError as error:
            self.expect(False, f"{getattr(strike, '__name__', 'a strike')} stopped: {str(error)[:4000]}")

    def say(self, act: str, seconds: float) -> None:
        """Print how far the rounds are: the whole takes an hour."""
        done = ", ".join(f"{one.fault} {one.run}/{one.planned}" for one in self.rounds.values() if one.run)
        broken = f"; {len(self.place.failures)} FAILURES" if self.place.failures else ""
        print(  # noqa: T201
            f"{time.strftime('%H:%M:%S')} {self.pair} {act} {seconds:.0f} s: {done}{broken}", flush=True
        )

    def expect(self, held: bool, what: str) -> None:
        """Note a promise that was seen broken."""
        if not held:
            self.place.failures.append(what)
            print(f"{time.strftime('%H:%M:%S')} {self.pair} BROKEN {what}", flush=True)  # noqa: T201

    def held(self, fault: Round, in_time: bool, since: float, what: str) -> bool:
        """Note a time limit that was not kept; False: the machine stood still, do that round again."""
        if not in_time and fault.late < _TRIES and self.place.heart.missed(since):
            fault.late += 1
            fault.numbers["machine_late"] = fault.late
            return False
        self.expect(in_time, what)
        return True

    def verdict(self, violations: list[str]) -> None:
        """Fail with every violation; told at once, for the end of the whole is an hour away."""
        self.numbers["violations"] = len(violations)
        for name, value in self.numbers.items():
            print(f"  {self.pair} {name} {value}")  # noqa: T201
        for one in self.rounds.values():
            one.say()
        for line in violations:
            print(f"  {self.pair} VIOLATION {line[:300]}", flush=True)  # noqa: T201
        shown = "\n".join(violations[:30])
        more = f"\n… and {len(violations) - 30} more" if len(violations) > 30 else ""
        assert not violations, f"{self.pair}, seed {plan.SEED}: {len(violations)} violations\n{shown}{more}"
