"""Whatever happens to jobs and lines meanwhile: at the end viewers are shown what the ledger says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hopyard.ledger import cancelling
from hopyard.ledger.database import Database
from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.read.summary import fingerprint
from hopyard.ledger.values import Again, Claim, Done, new_id, utcnow
from hopyard.specs import State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from hopyard.web.live.hub import Hub
    from live_viewers import Screen

pytest.importorskip("fastapi")

Act = tuple[str, int]
#: What happens to jobs, to viewers one by one, and to all of them; the likely ones are there twice.
JOBS = ("submit", "submit", "claim", "claim", "end", "end", "cancel", "slow", "commit")
ONE = ("read", "read half", "read half", "connect", "connect", "disconnect")
ALL = ("told", "told", "told", "look", "welcome", "back", "restart")
acts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(JOBS), st.integers(0, 7)),
        st.tuples(st.sampled_from(ONE), st.integers(0, 7)),
        st.tuples(st.sampled_from(ALL), st.just(0)),
    ),
    min_size=25,
    max_size=80,
)


class Served:
    """What a hub wants of an installation: its client, and of that the database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def client(self) -> Served:
        return self


class World:
    """Jobs of one person, those who look at them, and the hub that tells these."""

    def __init__(self, ledger: Any, person: str, worker: int, other: Callable[[], Database]) -> None:
        from live_viewers import Screen

        self.ledger, self.person, self.worker = ledger, person, worker
        self._other = other
        self.waiting: list[str] = []
        self.running: list[Claim] = []
        self._slow: contextlib.AsyncExitStack | None = None
        self.hub = self._hub()

        def screen(**wanted: Any) -> Screen:
            return Screen(ledger.database, JobFilter(person=person, **wanted))

        self.screens = [
            screen(),
            screen(states=(State.QUEUED,)),
            screen(states=(State.RUNNING, State.DEAD)),
            screen(plugins=("site",), states=(State.SUCCEEDED, State.RETRYING)),
            screen(task="other.echo"),
            screen(error="Boom"),
            screen(queue="q"),
            screen(until=utcnow()),
            screen(since=utcnow()),
            screen(fingerprint=fingerprint("site.echo", "Boom: no luck")),
            Screen(ledger.database, JobFilter(person="nobody at all")),
        ]

    def _hub(self) -> Hub:
        from hopyard.web.live.hub import Hub

        made = Hub(Served(self.ledger.database))  # type: ignore[arg-type]
        # Keys are another test's: these viewers have none.
        made._check_keys = _nothing  # type: ignore[method-assign]
        return made

    async def do(self, act: str, n: int) -> None:
        done: Callable[[int], Awaitable[None]] = getattr(self, act.replace(" ", "_"))
        await done(n)

    async def submit(self, n: int) -> None:
        task, queue = ("site.echo", "other.echo")[n % 2], ("q", "r")[n % 3 == 0]
        self.waiting.append(await self.ledger.job(person=self.person, task=task, queue=queue))

    async def claim(self, n: int) -> None:
        if self.waiting:
            id_ = self.waiting.pop(n % len(self.waiting))
            self.running += await self.ledger.claim(self.worker, id_)

    def _ran(self, n: int) -> Claim | None:
        return self.running.pop(n % len(self.running)) if self.running else None

    async def end(self, n: int) -> None:
        """Let a job end well or dead, or be tried again later."""
        if not self.running:
            return
        claim = self.running.pop(n % len(self.running))
        if n % 4 == 3:
            again = Again(claim.id, claim.claim, utcnow() + timedelta(hours=1), "busy", "{}")
            await self.ledger.database.again([again], self.worker)
            return
        error = None if n % 4 == 0 else json.dumps({"kind": ("Boom", "Quiet")[n % 2], "message": "no luck"})
        state, result = (State.SUCCEEDED, "1") if error is None else (State.DEAD, None)
        await self.ledger.database.finish(
            [Done(claim.id, claim.claim, state, result, error, None)], self.worker
        )

    async def cancel(self, n: int) -> None:
        if self.waiting:
            await cancelling.cancel(self.ledger.database, [self.waiting.pop(n % len(self.waiting))], "no")

    async def slow(self, _: int) -> None:
        """Begin to store a job in a transaction that commits after others that began later."""
        if self._slow is None and self.ledger.database.dialect.name == "postgresql":
            self._slow = contextlib.AsyncExitStack()
            tx = await self._slow.enter_async_context(self._other().transaction())
            made = self.ledger.new(person=self.person)
            await tx.insert_jobs([made])

    async def commit(self, _: int = 0) -> None:
        if self._slow is not None:
            await self._slow.aclose()
            self._slow = None

    async def welcome(self, _: int = 0) -> None:
        await self.hub.welcome()

    async def look(self, _: int = 0) -> None:
        await self.hub.welcome()
        await self.hub.look()

    async def read(self, n: int) -> None:
        if self.screens[n].connected:
            await self.screens[n].read()

    async def read_half(self, n: int) -> None:
        if self.screens[n].connected:
            await self.screens[n].read(most=n % 2 + 1)

    async def told(self, _: int) -> None:
        """Let all who are there be told, and read it."""
        await self.look()
        for n in range(len(self.screens)):
            await self.read(n)

    async def back(self, _: int) -> None:
        """Let all who have left come back."""
        for n in range(len(self.screens)):
            await self.connect(n)

    async def connect(self, n: int) -> None:
        if not self.screens[n].connected:
            self.screens[n].connect(self.hub)

    async def disconnect(self, n: int) -> None:
        self.screens[n].disconnect()

    async def restart(self, _: int) -> None:
        for screen in self.screens:
            screen.disconnect()
        self.hub = self._hub()

    async def settle(self) -> None:
        """Let everybody come back, and be told what is to be told."""
        await self.commit()
        await self.back(0)
        await self.told(0)


async def _nothing() -> None: ...


@given(acts=acts)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_shown_is_what_the_ledger_says(
    ledger: Any, connect: Callable[[], Database], acts: list[Act]
) -> None:
    world = World(ledger, new_id(), await ledger.worker(), connect)
    try:
        await world.settle()
        for act, n in acts:
            await world.do(act, n)
        await world.settle()
    finally:
        await world.commit()
    for n, screen in enumerate(world.screens):
        assert screen.shown == await screen.listed(), f"screen {n}"
        assert not screen.shown or screen.wanted.person == world.person
