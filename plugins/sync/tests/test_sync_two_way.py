"""Two-way calendars against Radicale and Xandikos: random edits on both sides, with kills in between.

`HOPYARD_INTERNAL_SYNC_EVENTS` (20) is how many events there are, `HOPYARD_INTERNAL_SYNC_SEEDS` (1) how many
runs for each policy and pair of sides.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dav_calendars import DavCalendar, event
from hopyard import storage
from hopyard.storage import new_id
from hopyard_sync.calendars import lines, table
from servers import fresh_database
from sync_servers import Dav
from sync_sites import SyncSite, sync_site

EVENTS = int(os.environ.get("HOPYARD_INTERNAL_SYNC_EVENTS", "20"))
SEEDS = int(os.environ.get("HOPYARD_INTERNAL_SYNC_SEEDS", "1"))
POLICIES = ("a", "b", "newest", "both")
#: Of each round, how many events are edited on each side, and how many syncs are killed.
ROUNDS = 2
KILLS = 2


class DavSide:
    """A side on a server."""

    def __init__(self, calendar: DavCalendar) -> None:
        self.calendar = calendar

    async def all(self) -> dict[str, tuple[str, str]]:
        """Return names and texts by UID."""
        found = self.calendar.texts()
        return {lines.look(text).uid: (name, text) for name, text in found.items()}

    async def put(self, uid: str, text: str, name: str | None) -> None:
        self.calendar.put(name or f"made-elsewhere-{uid}.ics", text)

    async def delete(self, name: str) -> None:
        self.calendar.delete(name)


class TableSide:
    """The table as a side, as tasks write it."""

    def __init__(self, connection: str) -> None:
        self.connection = connection

    async def all(self) -> dict[str, tuple[str, str]]:
        rows = await storage.fetch(
            "SELECT uid, name, ics FROM sync_event WHERE connection = $1", self.connection
        )
        return {row["uid"]: (row["name"], row["ics"]) for row in rows}

    async def put(self, uid: str, text: str, name: str | None) -> None:
        rows = await table.prepared(self.connection, [table.EventRow(name or uid, uid, text)])
        async with storage.transaction() as tx:
            await table.put(tx, rows)

    async def delete(self, name: str) -> None:
        async with storage.transaction() as tx:
            await table.remove(tx, self.connection, [name])


class World:
    """Both sides, and somebody who edits them."""

    def __init__(self, rng: random.Random, a: Any, b: Any) -> None:
        self.rng = rng
        self.sides = {"a": a, "b": b}
        self.made = 0
        self.clock = 0

    async def edit(self, side: str, count: int) -> dict[str, str | None]:
        """Create, change and delete events on a side; return what it has now of each: None if deleted."""
        there = await self.sides[side].all()
        uids = sorted(there)
        self.rng.shuffle(uids)
        done: dict[str, str | None] = {}
        for _ in range(count):
            what = self.rng.choice(("create", "change", "change", "delete")) if uids else "create"
            if what == "create":
                self.made += 1
                uid = f"{side}-{self.made}-{self.rng.getrandbits(32):x}@example.org"
                await self._write(side, uid, None, done)
            elif what == "change":
                uid = uids.pop()
                await self._write(side, uid, there[uid][0], done)
            else:
                uid = uids.pop()
                await self.sides[side].delete(there[uid][0])
                done[uid] = None
        return done

    async def _write(self, side: str, uid: str, name: str | None, done: dict[str, str | None]) -> None:
        self.clock += 1
        stamp = f"202601{1 + self.clock // 3600:02}T{self.clock // 60 % 60:02}{self.clock % 60:02}00Z"
        text = event(uid, f"{side} {self.clock} {self.rng.getrandbits(64):x}", stamp=stamp)
        await self.sides[side].put(uid, text, name)
        done[uid] = text

    async def marks(self, side: str) -> dict[str, str]:
        """Return what a side says, by UID."""
        return {uid: lines.look(text).mark for uid, (_, text) in (await self.sides[side].all()).items()}


def expected(
    policy: str, before: dict[str, str], a: dict[str, str | None], b: dict[str, str | None]
) -> dict[str, str]:
    """Return what both sides must say, but for what `both` keeps beside."""
    after = dict(before)
    for uid in {*a, *b}:
        clash = uid in a and uid in b
        text = winner(policy, a[uid], b[uid]) if clash else {**a, **b}[uid]
        after.pop(uid, None)
        if text is not None:
            after[uid] = lines.look(text).mark
    return after


def winner(policy: str, a: str | None, b: str | None) -> str | None:
    if policy in ("a", "b"):
        return a if policy == "a" else b
    if a is None or b is None:
        return a or b
    if policy == "newest" and lines.look(b).modified > lines.look(a).modified:
        return b
    return a


async def settle(site: SyncSite, rng: random.Random, kills: Counter[str]) -> None:
    """Sync by children that are killed at random moments, and then by one that is not."""
    job = new_id()
    for n in range(KILLS):
        told = site.child("work", job, kill_at=rng.randint(1, 2 * EVENTS if n else 4), force=True)
        kills["killed" if told is None else "ended"] += 1
    await site.sync("work", force=True)
    # Nobody edits now, so that there is nothing left to be done.
    again = await site.sync("work", force=True)
    assert (again.added, again.changed, again.removed, again.conflicts) == (0, 0, 0, 0), again


async def play(site: SyncSite, world: World, policy: str, rng: random.Random) -> Counter[str]:
    kills: Counter[str] = Counter()
    before: dict[str, str] = {}
    for round_ in range(ROUNDS):
        count = EVENTS if round_ == 0 else EVENTS // 2
        a = await world.edit("a", count // 2)
        b = await world.edit("b", count // 2)
        await settle(site, rng, kills)
        marks = await world.marks("a")
        assert marks == await world.marks("b")
        wanted = expected(policy, before, a, b)
        assert {uid: mark for uid, mark in marks.items() if uid in wanted} == wanted
        beside = {uid for uid in marks if uid not in wanted}
        clashes = {uid for uid in a if a.get(uid) is not None and b.get(uid) is not None}
        kept = {fork for uid in clashes for fork in [_fork(uid, b[uid])]} if policy == "both" else set()
        assert beside == kept
        before = marks
    return kills


def _fork(uid: str, text: str | None) -> str:
    from hopyard_sync.calendars.merge import forked

    assert text is not None
    return forked(uid, lines.look(text).mark)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.timeout(1800)
async def test_a_server_and_the_table_agree_after_kills(
    tmp_path: Path, radicale: Dav, postgres_url: str, policy: str, seed: int
) -> None:
    rng = random.Random(f"table {policy} {seed}")
    calendar = DavCalendar(radicale, f"t-{policy}-{seed}")
    settings = {"work": {**radicale.settings, "url": calendar.url, "conflicts": policy}}
    database = fresh_database(postgres_url) if (seed + POLICIES.index(policy)) % 2 else None
    async with sync_site(tmp_path, {"calendars": settings}, database=database) as site:
        world = World(rng, DavSide(calendar), TableSide("work"))
        kills = await play(site, world, policy, rng)
    assert kills["killed"] > 0, kills


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.timeout(1800)
async def test_two_servers_agree_after_kills(
    tmp_path: Path, radicale: Dav, xandikos: Dav, policy: str, seed: int
) -> None:
    rng = random.Random(f"servers {policy} {seed}")
    a, b = DavCalendar(radicale, f"s-{policy}-{seed}"), DavCalendar(xandikos, f"s-{policy}-{seed}")
    other = {**xandikos.settings, "url": b.url}
    settings = {"work": {**radicale.settings, "url": a.url, "conflicts": policy, "other": other}}
    async with sync_site(tmp_path, {"calendars": settings}) as site:
        kills = await play(site, World(rng, DavSide(a), DavSide(b)), policy, rng)
    assert kills["killed"] > 0, kills
