"""Calendars on servers that lie: nothing is lost, what is unclear is set aside, and the truth makes it well.

`HOPYARD_INTERNAL_SYNC_LIES` (6) is how many random runs there are of each kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import lying_dav
import pytest
from dav_calendars import event
from hopyard import storage
from hopyard.errors import HopyardError, InvalidInput
from hopyard_sync.calendars import lines, table
from hopyard_sync.errors import TooManyDeletions
from hopyard_sync.http import session
from lying_dav import LyingDav, running_lying_dav
from servers import fresh_database
from sync_sites import SyncSite, sync_site

RUNS = int(os.environ.get("HOPYARD_INTERNAL_SYNC_LIES", "6"))
ROUNDS = 4


@asynccontextmanager
async def world(
    folder: Path, *, tokens: bool = False, other: bool = False, database: str | None = None, **more: Any
) -> AsyncIterator[tuple[SyncSite, LyingDav, LyingDav | None]]:
    """An installation with a calendar, side a, and side b where that is another calendar."""
    with ExitStack() as stack:
        a = stack.enter_context(running_lying_dav(tokens))
        b = stack.enter_context(running_lying_dav(tokens)) if other else None
        own = {"url": a.url, "person": "alice", **more, **({"other": {"url": b.url}} if b else {})}
        async with sync_site(folder, {"calendars": {"work": own}}, database=database) as site:
            yield site, a, b


async def put_row(text: str) -> None:
    uid = lines.look(text).uid
    rows = await table.prepared("work", [table.EventRow(uid, uid, text)])
    async with storage.transaction() as tx:
        await table.put(tx, rows)


async def rows() -> dict[str, str]:
    return {row["uid"]: row["ics"] for row in await storage.fetch("SELECT uid, ics FROM sync_event")}


async def aside() -> dict[str, str]:
    found = await storage.fetch("SELECT what, reason FROM sync_set_aside")
    return {row["what"].removeprefix("/cal/"): row["reason"] for row in found}


async def nothing_left(site: SyncSite) -> None:
    again = await site.sync("work")
    assert (again.added, again.changed, again.removed, again.set_aside) == (0, 0, 0, 0), again


# --- any lies


class Liar:
    """Lies at random: `share` of all answers."""

    def __init__(self, rng: random.Random, share: float) -> None:
        self.rng = rng
        self.share = share

    def __call__(self, what: str, name: str) -> str | None:
        if self.rng.random() >= (self.share if name else self.share / 4):
            return None
        kinds = {
            "list": lying_dav.LISTED,
            "report": lying_dav.LISTED,
            "read": lying_dav.READ,
            "put": lying_dav.PUT,
            "delete": lying_dav.DELETE,
        }
        return self.rng.choice(kinds.get(what, lying_dav.ALL))


class Sides:
    """Both sides as an editor sees them, each event by its UID."""

    def __init__(self, a: LyingDav, b: LyingDav | None) -> None:
        self.dav = {"a": a, **({"b": b} if b else {})}

    async def all(self, side: str) -> dict[str, str]:
        if side in self.dav:
            return {lines.look(text).uid: text for text in self.dav[side].texts().values()}
        return await rows()

    async def put(self, side: str, uid: str, text: str) -> None:
        if side not in self.dav:
            await put_row(text)
            return
        there = self.dav[side].texts()
        name = next((name for name, other in there.items() if lines.look(other).uid == uid), f"x-{uid}.ics")
        self.dav[side].put(name, text)

    async def delete(self, side: str, uid: str) -> None:
        if side not in self.dav:
            await storage.execute("DELETE FROM sync_event WHERE uid = $1", uid)
            return
        there = self.dav[side].texts()
        self.dav[side].delete(next(name for name, text in there.items() if lines.look(text).uid == uid))


async def edit(sides: Sides, rng: random.Random, wanted: dict[str, str], round_: int) -> None:
    """Create, change and delete events, each on one side; `wanted` is what there must be then."""
    uids = sorted(wanted)
    rng.shuffle(uids)
    for n in range(8):
        side = rng.choice("ab")
        what = rng.choice(("create", "change", "delete")) if uids else "create"
        uid = f"{side}-{round_}-{n}@example.org" if what == "create" else uids.pop()
        if what == "delete":
            await sides.delete(side, uid)
            del wanted[uid]
        else:
            wanted[uid] = event(uid, f"{round_} {n} {rng.getrandbits(40):x}")
            await sides.put(side, uid, wanted[uid])


def marks(texts: dict[str, str]) -> dict[str, str]:
    return {uid: lines.look(text).mark for uid, text in texts.items()}


@pytest.mark.parametrize("seed", range(RUNS))
@pytest.mark.parametrize("kind", ["table", "tokens", "servers"])
async def test_whatever_a_server_says_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, seed: int
) -> None:
    """Without the guard against many deletions: even so only what somebody deleted may go."""
    monkeypatch.setattr(session, "_PAUSE", 0.001)
    rng = random.Random(f"{kind} {seed}")
    async with world(tmp_path, tokens=kind == "tokens", other=kind == "servers") as (site, a, b):
        sides, wanted = Sides(a, b), dict[str, str]()
        for round_ in range(ROUNDS):
            await edit(sides, rng, wanted, round_)
            liar = Liar(rng, rng.choice((0.1, 0.3, 0.7)))
            for server in filter(None, (a, b)):
                server.lie = liar
            before = {side: await sides.all(side) for side in "ab"}
            with contextlib.suppress(HopyardError):
                await site.sync("work", force=True)
            for side in "ab":
                after = await sides.all(side)
                lost = {uid for uid in before[side] if uid in wanted and uid not in after}
                assert not lost, f"side {side} has lost {lost}"
                undone = {
                    uid
                    for uid, text in before[side].items()
                    if text == wanted.get(uid) and marks({uid: after[uid]}) != marks({uid: text})
                }
                assert not undone, f"side {side} has lost changes of {undone}"
            for server in filter(None, (a, b)):
                server.lie = lambda what, name: None
            await site.sync("work", force=True)
            assert marks(await sides.all("a")) == marks(wanted)
            assert marks(await sides.all("b")) == marks(wanted)
            assert await aside() == {}, "what is well now is set aside no more"
            await nothing_left(site)


# --- single lies


@pytest.mark.parametrize("lie", lying_dav.READ)
async def test_what_is_not_told_is_not_deleted(tmp_path: Path, lie: str) -> None:
    async with world(tmp_path) as (site, a, _):
        for n in range(4):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Old"))
        await site.sync("work")
        new = event("1@example.org", "New")
        a.put("1.ics", new)
        a.lie = lambda what, name: lie if (what, name) == ("read", "1.ics") else None
        report = await site.sync("work")
        assert (report.removed, report.changed, report.set_aside) == (0, 0, 1)
        assert len(await rows()) == 4
        assert (await aside()).keys() == {"1.ics"}
        a.lie = lambda what, name: None
        assert (await site.sync("work")).changed == 1
        assert (await rows())["1@example.org"] == new
        assert await aside() == {}


@pytest.mark.parametrize("lie", ["status 500", "status 403", "propstat 500"])
async def test_a_fault_in_a_listing_is_no_deletion(tmp_path: Path, lie: str) -> None:
    async with world(tmp_path) as (site, a, _):
        for n in range(4):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Old"))
        await site.sync("work")
        a.lie = lambda what, name: lie if (what, name) == ("list", "1.ics") else None
        assert (await site.sync("work")).removed == 0
        assert len(await rows()) == 4


async def test_a_part_of_a_listing_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as (site, a, _):
        for n in range(10):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Old"))
        await site.sync("work")
        a.lie = lambda what, name: "part" if what == "list all" else None
        with pytest.raises(InvalidInput, match="only a part of its list"):
            await site.sync("work", force=True)
        assert len(await rows()) == 10


async def test_one_request_that_fails_costs_one_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that cannot be read is halved, down to the event that it is about."""
    monkeypatch.setattr(session, "_PAUSE", 0.001)
    async with world(tmp_path) as (site, a, _):
        for n in range(20):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Event"))
        answer = a.answer

        def fails_with_one(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
            return (500, {}, b"") if b"/cal/7.ics" in body else answer(method, path, headers, body)

        a.answer = fails_with_one  # type: ignore[method-assign]
        async with relay(a) as url:
            from hopyard_sync.engine import runner

            object.__setattr__(runner.settings().calendars["work"], "url", url)
            report = await site.sync("work")
        assert (report.added, report.set_aside) == (19, 1)
        assert "answered 500" in (await aside())["7.ics"]


@asynccontextmanager
async def relay(server: LyingDav) -> AsyncIterator[str]:
    """Another address of a server, which has its `answer` as it is now."""
    from paged_api import Scripted

    handler: Any = server.answer
    with Scripted(handler) as made:
        yield f"{made.url}/cal/"


async def test_a_name_that_is_taken_is_left_for_another(tmp_path: Path) -> None:
    async with world(tmp_path) as (site, a, _):
        a.put("abc.ics", event("xyz", "Theirs"))
        await site.sync("work")
        await put_row(event("abc", "Ours"))
        assert (await site.sync("work")).added == 1
        assert sorted(lines.look(text).uid for text in a.texts().values()) == ["abc", "xyz"]
        await nothing_left(site)


@pytest.mark.parametrize("lie", ["412", "conflict", "403"])
async def test_what_is_never_taken_is_set_aside_and_not_counted(tmp_path: Path, lie: str) -> None:
    async with world(tmp_path) as (site, a, _):
        await put_row(event("abc", "Ours"))
        await put_row(event("def", "Ours"))
        a.lie = lambda what, name: lie if what == "put" and "def" not in name else None
        for added in (1, 0):
            report = await site.sync("work")
            assert (report.added, report.changed, report.set_aside) == (added, 0, 1)
            assert (await aside()).keys() == {"abc"}
        a.lie = lambda what, name: None
        assert (await site.sync("work")).added == 1
        assert await aside() == {}


async def test_a_weak_etag_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as (site, a, _):
        a.items["a.ics"] = ('W/"1"', event("a", "Theirs"))
        await site.sync("work")
        await put_row(event("a", "Ours"))
        a.lie = lambda what, name: "412" if what == "put" else None
        for _ in range(2):
            report = await site.sync("work")
            assert (report.changed, report.set_aside) == (0, 1)
        assert "weak ETag" in (await aside())["a"]


async def test_a_version_that_cannot_be_kept_costs_its_event(tmp_path: Path) -> None:
    async with world(tmp_path, conflicts="both") as (site, a, _):
        for uid in ("a", "z"):
            a.put(f"{uid}.ics", event(uid, "Old"))
        await site.sync("work")
        a.put("a.ics", event("a", "Theirs"))
        await put_row(event("a", "Ours"))
        a.put("z.ics", event("z", "Theirs"))
        a.lie = lambda what, name: "403" if what == "put" else None
        for changed in (1, 0):
            report = await site.sync("work")
            assert (report.changed, report.conflicts, report.set_aside) == (changed, 0, 1)
        assert "Ours" in (await rows())["a"]
        a.lie = lambda what, name: None
        report = await site.sync("work")
        assert (report.added, report.changed, report.conflicts) == (1, 1, 1)
        assert sorted("Ours" in text for text in (await rows()).values()) == [False, False, True]
        await nothing_left(site)


# --- the guard


@pytest.mark.parametrize(
    ("there", "gone", "held"),
    [(1, 1, False), (2, 1, False), (2, 2, True), (4, 2, False), (4, 3, True), (6, 5, True), (12, 6, False)],
)
async def test_the_guard_counts_what_is_there(tmp_path: Path, there: int, gone: int, held: bool) -> None:
    async with world(tmp_path) as (site, a, _):
        for n in range(there):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Event"))
        await site.sync("work")
        for n in range(gone):
            a.delete(f"{n}.ics")
        a.put("new.ics", event("new@example.org", "New"))
        if not held:
            assert (await site.sync("work")).removed == gone
            return
        with pytest.raises(TooManyDeletions, match=f"{gone} of {there} would be deleted on side b"):
            await site.sync("work")
        assert len(await rows()) == there


async def test_a_side_is_not_emptied_because_one_was_deleted_before(tmp_path: Path) -> None:
    async with world(tmp_path) as (site, a, _):
        for n in range(4):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Event"))
        await site.sync("work")
        await storage.execute("DELETE FROM sync_event WHERE uid = '0@example.org'")
        for n in range(4):
            a.delete(f"{n}.ics")
        with pytest.raises(TooManyDeletions, match="3 of 3"):
            await site.sync("work")


async def test_another_calendar_begins_anew_and_deletes_nothing(tmp_path: Path) -> None:
    from hopyard_sync.engine import runner

    async with world(tmp_path, tokens=True) as (site, a, _):
        for n in range(5):
            a.put(f"{n}.ics", event(f"{n}@example.org", "Event"))
        await site.sync("work")
        with running_lying_dav(tokens=True) as other:
            for n in range(20):
                other.put(f"n{n}.ics", event(f"n{n}@example.org", "Event"))
            other.put("0.ics", event("0@example.org", "Event"))
            object.__setattr__(runner.settings().calendars["work"], "url", other.url)
            preview = await site.sync("work", dry_run=True)
            report = await site.sync("work", force=True)
            assert (report.removed, report.added) == (0, 24)
            assert (preview.removed, preview.added) == (0, 24)
            assert any("another calendar" in note for note in report.notes)
            assert len(other.texts()) == len(await rows()) == 25
            assert len(a.texts()) == 5
            other.delete("0.ics")
            assert (await site.sync("work")).removed == 1


# --- odd events

ODD = {
    "garbage": "DTSTART:garbage",
    "period": "DTSTART;VALUE=PERIOD:20261201T090000Z/PT1H",
    "year zero": "DTSTART:00000101T000000Z",
    "zone": f"DTSTART;TZID={'A' * 300}:20261201T090000",
    "duration": "DURATION:PT1H\nDURATION:PT2H",
    "long": "DURATION:P99999999999D",
    "rdate": "RDATE:garbage",
}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_an_odd_event_costs_itself(tmp_path: Path, postgres_url: str, database: str) -> None:
    url = fresh_database(postgres_url) if database == "postgresql" else None
    async with world(tmp_path, database=url) as (site, a, _):
        for name, odd in ODD.items():
            text = event(name, "Odd", more=odd).replace("DTEND:20261201T100000Z\r\n", "")
            if odd.startswith("DTSTART"):
                text = text.replace("DTSTART:20261201T090000Z\r\n", "")
            a.put(f"{name}.ics", text)
        a.put("long uid.ics", event("\u8a00" * 990, "Odd"))
        a.put("a%2Fb.ics", event("good", "Good"))
        report = await site.sync("work")
        assert set(await rows()) == {"good"}
        assert (report.added, report.set_aside) == (1, len(ODD) + 1)
        again = await site.sync("work")
        assert (again.added, again.removed, len(a.items)) == (0, 0, len(ODD) + 2)


async def test_large_events_are_read_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    look, threads = lines.look, set[bool]()

    def seen(text: str) -> lines.Content:
        threads.add(threading.current_thread() is threading.main_thread())
        return look(text)

    monkeypatch.setattr(lines, "look", seen)
    async with world(tmp_path, other=True) as (site, a, b):
        assert b is not None
        for server in (a, b):
            server.put("1.ics", event("1@example.org", "Large", more="X-A:1\n" * 1000))
        await site.sync("work")
        await asyncio.sleep(0)
    assert threads == {False}


async def test_servers_that_stamp_what_they_store_come_to_rest(tmp_path: Path) -> None:
    """LAST-MODIFIED is set at each write and no ETag is told: nothing has changed for that."""
    import itertools
    import re

    async with world(tmp_path, other=True) as (site, a, b):
        assert b is not None
        numbers = itertools.count(10)
        for server in (a, b):
            server.lie = lambda what, name: "no etag" if what == "put" else None

            def stamped(name: str, text: str, keep: Any = server.put) -> None:
                keep(name, re.sub(r"LAST-MODIFIED:\w+", f"LAST-MODIFIED:202601{next(numbers)}T000000Z", text))

            server.put = stamped  # type: ignore[method-assign]
        a.put("1.ics", event("1@example.org", "Event"))
        assert (await site.sync("work")).added == 1
        for _ in range(3):
            await nothing_left(site)
