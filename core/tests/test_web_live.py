"""Live streams over a real server: what viewers are told who come back, are slow, many, or shut out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hopyard.ledger import access, deadletters, notes
from hopyard.ledger.database import Database
from hopyard.ledger.deadletters import Filter
from hopyard.ledger.read import logs
from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.read.logs import LogLine
from hopyard.ledger.values import Done, Progress, utcnow
from hopyard.specs import State

pytest.importorskip("fastapi")

if TYPE_CHECKING:
    from web_lab import Port, Web


@contextmanager
def counted(database: Database) -> Iterator[Counter[str]]:
    """Count the statements that a database is asked."""
    asked: Counter[str] = Counter()
    fetch = database.fetch

    async def counting(sql: str, *values: Any) -> Any:
        asked[sql.split(" WHERE ")[0]] += 1
        return await fetch(sql, *values)

    database.fetch = counting  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        database.fetch = fetch  # type: ignore[method-assign]


async def finish(web: Web, worker: int, claim: Any) -> None:
    done = Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)
    await web.ledger.database.finish([done], worker)


async def test_a_job_is_followed_to_its_end(web: Web, port: Port) -> None:
    worker, id_ = await web.ledger.worker(), await web.job()
    async with port.events(f"/api/stream/jobs/{id_}", "viewer") as stream:
        (event, data), (ready, _) = await stream.until("ready")
        assert (event, data["jobs"][0]["state"], ready) == ("jobs", "queued", "ready")
        (claim,) = await web.ledger.claim(worker, id_)
        await stream.job(id_, "running")
        await notes.write_progress(web.ledger.database, [Progress(id_, 1.0, 4.0, "one", utcnow())])
        told = (await stream.until("progress"))[-1][1]["progress"][0]
        assert (told["percentage"], told["message"]) == (25.0, "one")
        await logs.write(web.ledger.database, [LogLine(id_, 1, utcnow(), "info", "a line")])
        assert (await stream.until("log"))[-1][1]["lines"][0]["message"] == "a line"
        await finish(web, worker, claim)
        assert (await stream.job(id_, "succeeded"))["seconds"] is not None


async def test_sockets_tell_the_same(web: Web, port: Port) -> None:
    worker, id_ = await web.ledger.worker(), await web.job(person="alice")

    async def until(socket: Any, event: str) -> Any:
        while (message := json.loads(await socket.recv()))["event"] != event:
            pass
        return message

    async with (
        port.socket(f"/api/ws/jobs/{id_}", "alice") as one,
        port.socket("/api/ws/jobs?person=alice&state=running", "viewer") as some,
        port.socket("/api/ws/overview", "viewer") as overview,
    ):
        assert (await until(one, "jobs"))["data"]["jobs"][0]["id"] == id_
        assert [job["jobs"] for job in (await until(overview, "overview"))["data"]["live"]] == [1]
        await until(some, "ready")
        (claim,) = await web.ledger.claim(worker, id_)
        assert [job["state"] for job in (await until(some, "jobs"))["data"]["jobs"]] == ["running"]
        await finish(web, worker, claim)
        told = await until(some, "jobs")
        assert told["data"]["gone"] == [id_]
        assert told["id"] > 0


async def test_lists_tell_the_progress_of_jobs_that_ran_before(web: Web, port: Port) -> None:
    worker, id_ = await web.ledger.worker(), await web.job()
    await web.ledger.claim(worker, id_)
    async with port.events("/api/stream/jobs?state=running") as stream:
        await stream.until("ready")
        for n in (1, 2):
            await notes.write_progress(web.ledger.database, [Progress(id_, float(n), 2.0, "", utcnow())])
            told = (await stream.until("progress"))[-1][1]["progress"]
            assert [(one["job"], one["current"]) for one in told] == [(id_, float(n))]


async def test_who_comes_back_is_told_what_was_missed(web: Web, port: Port) -> None:
    first = await web.job()
    async with port.events("/api/stream/jobs") as stream:
        await stream.until("ready")
        seen = await web.job()
        await stream.job(seen, "queued")
        place = stream.place
    missed = await web.job()
    async with port.events("/api/stream/jobs", last=place) as stream:
        told = {job["id"] for event, data in await stream.until("ready") for job in data.get("jobs", ())}
        assert missed in told
        assert first not in told
    # Another process, or the same one after a restart, knows nothing of them but the place.
    web.served.hub._tail = None
    async with port.events("/api/stream/jobs", last=place) as stream:
        told = {job["id"] for event, data in await stream.until("ready") for job in data.get("jobs", ())}
        assert missed in told


@pytest.mark.parametrize("last", [0, 999_999_999, 10**17])
async def test_who_was_away_too_long_is_told_to_look_again(web: Web, port: Port, last: int) -> None:
    for _ in range(3):
        await web.job()
    await web.ledger.database.execute("DELETE FROM job_event WHERE n < (SELECT max(n) FROM job_event)")
    async with port.events("/api/stream/jobs", last=last) as stream:
        assert [event for event, _ in await stream.until("ready")] == ["reset", "ready"]


async def test_too_many_changes_at_once_are_not_told_one_by_one(web: Web, port: Port) -> None:
    async with port.events("/api/stream/jobs") as stream, port.events("/api/stream/jobs?task=x.y") as other:
        for one in (stream, other):
            await one.until("ready")
        await web.ledger.database.submit([web.ledger.new() for _ in range(1_001)], fresh=True)
        for one in (stream, other):
            assert (await one.until("reset"))[-1] == ("reset", {})
        id_ = await web.job()
        await stream.job(id_, "queued")


async def test_viewers_are_told_of_their_own_only(web: Web, port: Port) -> None:
    async with AsyncExitStack() as stack:
        streams = {
            who: await stack.enter_async_context(port.events("/api/stream/jobs?person=bob", who))
            for who in ("alice", "bob", "of-nothing", "viewer")
        }
        for one in streams.values():
            await one.until("ready")
        id_ = await web.job(person="bob", task="site.add")
        for who in ("bob", "viewer"):
            await streams[who].job(id_, "queued")
        # What was told to those is told to nobody who comes later: alice's first message is her own job's.
        mine = await web.job(person="alice")
        async with port.events("/api/stream/jobs", "alice", last=0) as alice:
            told = [job["id"] for _, data in await alice.until("ready") for job in data.get("jobs", ())]
            assert told == [mine]
            assert id_ not in str(told)


async def test_discarded_jobs_leave_the_lists_that_showed_them(web: Web, port: Port) -> None:
    worker = await web.ledger.worker()
    theirs = {person: await web.job(person=person) for person in ("alice", "bob")}
    for id_ in theirs.values():
        (claim,) = await web.ledger.claim(worker, id_)
        dead = Done(id_, claim.claim, State.DEAD, None, '{"message": "broken"}', None)
        await web.ledger.database.finish([dead], worker)
    async with (
        port.events("/api/stream/jobs?state=dead", "viewer") as every,
        port.events("/api/stream/jobs?state=dead", "alice", last=0) as hers,
    ):
        for stream in (every, hers):
            await stream.until("ready")
        place = every.place
        await deadletters.discard(web.ledger.database, Filter(ids=[*theirs.values()]))
        assert set((await every.until("jobs"))[-1][1]["gone"]) == {*theirs.values()}
        await web.job(person="alice")
        assert theirs["bob"] not in json.dumps(await hers.until("jobs")), (
            "of others' she is not even told the ids"
        )
    async with port.events("/api/stream/jobs?state=dead", "viewer", last=place) as stream:
        told = await stream.until("ready")
        assert {id_ for _, data in told for id_ in data.get("gone", ())} >= {*theirs.values()}


async def test_lists_of_children_and_of_a_time_tell_of_their_own(web: Web, port: Port) -> None:
    parent = await web.job()
    async with (
        port.events(f"/api/stream/jobs?parent={parent}") as children,
        port.events("/api/stream/jobs?until=2020-01-01T00:00:00Z") as long_ago,
        port.events("/api/stream/jobs?since=2020-01-01T00:00:00Z") as lately,
    ):
        for stream in (children, long_ago, lately):
            await stream.until("ready")
        stranger, child = await web.job(), await web.job(parent=parent)
        await children.job(child, "queued")
        await lately.job(child, "queued")
        worker = await web.ledger.worker()
        (claim,) = await web.ledger.claim(worker, child)
        await finish(web, worker, claim)
        seen = set()
        while ("succeeded", child) not in seen:
            event, data = await children.next()
            seen |= {(job["state"], job["id"]) for job in data.get("jobs", ())} if event == "jobs" else set()
        assert {id_ for _, id_ in seen} == {child}
        await lately.job(child, "succeeded")
        gone: set[str] = set()
        while child not in gone:
            event, data = await long_ago.next()
            assert not data.get("jobs")
            gone |= {*data.get("gone", ())}
        assert stranger not in {id_ for _, id_ in seen}
    refused = await web.ask("GET", "/api/stream/jobs?since=2020-01-01T00:00:00")
    assert refused.status_code == 422


async def test_two_hundred_viewers_cost_the_database_no_more_than_one(web: Web) -> None:
    from hopyard.web import Role, Viewer
    from hopyard.web.live.hub import Hub
    from hopyard.web.live.viewing import Viewing

    worker = await web.ledger.worker()
    key = Viewer(web.ids["admin"], "tests", Role.ADMIN)

    async def asked(viewers: int) -> Counter[str]:
        hub = Hub(web.lab.hopyard)
        watched = await web.job()
        viewings = [
            viewing
            for _ in range(viewers)
            for viewing in (
                Viewing(key, job=watched),
                Viewing(key, wanted=JobFilter()),
                Viewing(key, overview=True),
            )
        ]
        with counted(web.lab.hopyard.client().database) as found:
            for one in viewings:
                hub.join(one)
            await hub.welcome()
            await hub.look()
            (claim,) = await web.ledger.claim(worker, watched)
            await notes.write_progress(web.ledger.database, [Progress(watched, 1.0, 2.0, "", utcnow())])
            await logs.write(web.ledger.database, [LogLine(watched, 1, utcnow(), "info", "a line")])
            await hub.look()
            await finish(web, worker, claim)
            await hub.look()
        assert all(one.take() for one in viewings)
        return found

    few, many = await asked(1), await asked(200)
    assert few.total() == many.total(), many - few


async def test_who_reads_slowly_is_told_the_latest_at_a_bounded_cost(web: Web) -> None:
    from hopyard.web import Role, Viewer
    from hopyard.web.live.hub import Hub
    from hopyard.web.live.viewing import Viewing

    hub, key = Hub(web.lab.hopyard), Viewer(web.ids["admin"], "tests", Role.ADMIN)
    slow = Viewing(key, wanted=JobFilter())
    hub.join(slow)
    await hub.welcome()
    assert [one.event for one in slow.take()] == ["ready"]
    worker, id_ = await web.ledger.worker(), await web.job()
    await hub.look()
    (claim,) = await web.ledger.claim(worker, id_)
    await hub.look()
    await finish(web, worker, claim)
    await hub.look()
    (told,) = slow.take()
    assert [job["state"] for job in json.loads(told.data)["jobs"]] == ["succeeded"]
    for _ in range(3):
        await web.ledger.database.submit([web.ledger.new() for _ in range(900)], fresh=True)
        await hub.look()
    told_first, *others = slow.take()
    assert told_first.event == "reset"
    assert sum(len(one.data) for one in others) < 2_000_000


async def test_each_look_is_one_message_of_a_kind(web: Web) -> None:
    from hopyard.web import Role, Viewer
    from hopyard.web.live.hub import Hub
    from hopyard.web.live.viewing import Viewing

    hub, key = Hub(web.lab.hopyard), Viewer(web.ids["admin"], "tests", Role.ADMIN)
    viewing = Viewing(key, wanted=JobFilter())
    hub.join(viewing)
    await hub.welcome()
    viewing.take()
    for _ in range(50):
        await web.job()
    await hub.look()
    (message,) = viewing.take()
    assert len(json.loads(message.data)["jobs"]) == 50


async def test_streams_end_when_their_key_does(web: Web, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopyard.web.live.hub._KEYS_EVERY", 0.0)
    for name in ("leaving", "lapsing", "staying"):
        await web.let_in(name, "viewer")
    session = await web.let_in("session", "viewer", "session", parent=web.ids["leaving"])
    async with AsyncExitStack() as stack:
        streams = {
            name: await stack.enter_async_context(port.events("/api/stream/jobs", name))
            for name in ("leaving", "lapsing", "staying")
        }
        origin = f"http://127.0.0.1:{port.port}"
        socket = await stack.enter_async_context(
            port.socket("/api/ws/jobs", None, origin=origin, headers={"Cookie": f"hopyard_session={session}"})
        )
        for one in streams.values():
            await one.until("ready")
        revoked = await web.ask("DELETE", f"/api/tokens/{web.ids['leaving']}")
        assert revoked.status_code == 200
        await streams["leaving"].ends()
        async for _ in socket:
            pass  # it ends
        past = web.ledger.database.dialect.minus(web.ledger.database.dialect.now, "$2")
        await web.ledger.database.execute(
            f"UPDATE access_key SET expires = {past} WHERE id = $1", web.ids["lapsing"], 1.0
        )
        await streams["lapsing"].ends()
        id_ = await web.job()
        await streams["staying"].job(id_, "queued")


async def test_a_viewer_who_leaves_is_forgotten(
    web: Web, port: Port, until: Callable[[Callable[[], bool]], Any]
) -> None:
    hub = web.served.hub
    async with port.events("/api/stream/jobs") as stream, port.socket("/api/ws/jobs") as socket:
        await stream.until("ready")
        await socket.recv()
        await until(lambda: len(hub._viewings) == 2)
    await until(lambda: not hub._viewings)


async def test_viewers_go_on_when_the_ledger_was_away(
    web: Web, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopyard.errors import LedgerUnavailable
    from hopyard.ledger.read.tail import Tail

    failed = asyncio.Event()
    read = Tail.read

    async def away(tail: Tail) -> Any:
        failed.set()
        monkeypatch.setattr(Tail, "read", read)
        raise LedgerUnavailable("away")

    async with port.events("/api/stream/jobs") as stream:
        await stream.until("ready")
        monkeypatch.setattr(Tail, "read", away)
        await failed.wait()
        id_ = await web.job()
        await stream.job(id_, "queued")


@pytest.mark.parametrize("query", ["state=nonesuch", "task=" + "x" * 300, "error=" + "x" * 600])
async def test_a_filter_that_is_none_is_refused(web: Web, query: str) -> None:
    answer = await web.ask("GET", f"/api/stream/jobs?{query}")
    assert answer.status_code == 422


async def test_keys_are_looked_up_in_one_statement(web: Web) -> None:
    ids = {web.ids["admin"], web.ids["viewer"], "nonesuch"}
    assert await access.opening(web.ledger.database, ids) == {web.ids["admin"], web.ids["viewer"]}
    assert await access.opening(web.ledger.database, set()) == set()
