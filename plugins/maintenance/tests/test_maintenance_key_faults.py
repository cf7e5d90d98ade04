"""Keys and a provider that answers wrongly, late or never; ways out of what is stuck; whose clock decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hopyard import storage
from hopyard.errors import InvalidInput, SpecError, StaleFence, TransientError
from hopyard_maintenance import ApiKey, KeyProvider, KeyRequest, Maintenance
from hopyard_maintenance.keys import by_hand, checking, ledger, managing, stores
from hopyard_maintenance.turns import Taken, turn
from key_service import World
from pydantic import SecretStr

on_both = pytest.mark.parametrize("installed", ["sqlite", "postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("installed", ["sqlite"], indirect=True)
#: The third master key: none of the tests' others.
LOST = "C" * 43 + "="


@pytest.fixture
def world(installed: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world."""
    return World(installed, monkeypatch)


# --- the old key, once it may be gone


@pytest.mark.parametrize("fails", ["remove", "revoke done"])
@on_both
async def test_nobody_goes_back_to_a_key_that_may_be_revoked(
    world: World, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    await world.rotate()
    await world.rotate(force=True)
    await world.overlap_ends()

    async def away(*args: Any) -> None:
        raise TransientError("the store is away")

    with monkeypatch.context() as patched:
        if fails == "remove":
            patched.setattr(stores.TableStore, "remove", away)
        else:
            world.service.faults[fails] = TransientError("no answer in time")
        assert (await world.rotate()).startswith("revoking: ")
    assert await world.state() == "revoking"
    assert "its rotation is stuck: revoking: " in (await checking.check()).detail
    with pytest.raises(InvalidInput, match="has no predecessor that still works"):
        await by_hand.roll_back(world.job, "acme")
    assert ([*world.service.keys], await world.current(), await world.works()) == (["k2"], "k2", True)
    assert await world.rotate() == "the old key is revoked"
    assert await world.state() == "current"


@on_sqlite
async def test_nobody_goes_back_once_the_time_of_both_keys_is_over(world: World) -> None:
    await world.rotate()
    await world.rotate(force=True)
    await world.overlap_ends()
    with pytest.raises(InvalidInput, match="the time in which both keys `acme` work was over"):
        await by_hand.roll_back(world.job, "acme")
    assert await world.current() == "k2"


@on_sqlite
async def test_a_person_takes_no_key_back_for_one_that_does_not_work(world: World) -> None:
    await world.rotate()
    await world.rotate(force=True)
    world.service.keys.pop("k1")  # somebody has revoked it by hand
    with pytest.raises(InvalidInput, match=r"the key before cannot be used, so the new one stays: \*\*\*"):
        await by_hand.roll_back(world.job, "acme")
    assert (await world.state(), await world.current(), await world.works()) == ("published", "k2", True)
    assert "rolling back" not in await world.steps()


@on_sqlite
async def test_the_new_key_is_revoked_only_once_the_old_one_works(world: World) -> None:
    await world.rotate()
    world.service.faults["publish"] = InvalidInput("no")
    secret = world.service.keys.pop("k1")
    assert "is no key of ours" in await world.rotate(force=True)
    assert (await world.state(), [*world.service.keys]) == ("rolling back", ["k2"])
    world.service.keys["k1"] = secret
    assert (await world.rotate()).startswith("rolled back: ")
    assert [*world.service.keys] == ["k1"]


# --- answers that are none


WRONG: dict[str, Callable[[KeyRequest], Any]] = {
    "a plain text": lambda request: ApiKey(request.label, "CANARY-plain"),  # type: ignore[arg-type]
    "bytes": lambda request: ApiKey(request.label, SecretStr(b"CANARY-bytes")),  # type: ignore[arg-type]
    "None in it": lambda request: ApiKey(request.label, SecretStr(None)),  # type: ignore[arg-type]
    "half a character": lambda request: ApiKey(request.label, SecretStr("CANARY-\udc80")),
    "NUL": lambda request: ApiKey(request.label, SecretStr("CANARY-\0-x")),
    "blank": lambda request: ApiKey(request.label, SecretStr(" " * 20)),
    "short": lambda request: ApiKey(request.label, SecretStr("abc12")),
    "a number as id": lambda request: ApiKey(4711, SecretStr("CANARY-numbered")),  # type: ignore[arg-type]
    "an empty id": lambda request: ApiKey("", SecretStr("CANARY-unnamed")),
    "an id of two lines": lambda request: ApiKey("a\nb", SecretStr("CANARY-lines")),
    "NUL in the id": lambda request: ApiKey("a\0b", SecretStr("CANARY-nul")),
    "nothing": lambda request: None,
    "a tuple": lambda request: (request.label, "CANARY-tuple"),
}


@pytest.mark.parametrize("wrong", [name for name in WRONG if name not in ("nothing", "a tuple")])
def test_a_key_checks_itself_and_tells_nothing_of_it(wrong: str) -> None:
    with pytest.raises(SpecError, match=r"key") as caught:
        WRONG[wrong](KeyRequest("acme", "acme-1"))
    assert "CANARY" not in str(caught.value)


def test_a_number_as_id_says_what_to_do() -> None:
    with pytest.raises(SpecError, match=r"of type int, expected text: give str\(id\)"):
        WRONG["a number as id"](KeyRequest("acme", "acme-1"))


def test_a_key_of_several_lines_is_fine() -> None:
    assert ApiKey("k", SecretStr("-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n")).id == "k"


@pytest.mark.parametrize(
    ("wrong", "installed"),
    [
        *((name, "sqlite") for name in ("nothing", "a tuple", "a plain text", "None in it")),
        *((name, "postgresql") for name in ("a number as id", "half a character", "NUL", "NUL in the id")),
    ],
    indirect=["installed"],
)
async def test_one_bad_answer_costs_one_key_and_makes_no_more(world: World, wrong: str) -> None:
    made: list[str] = []

    async def create(request: KeyRequest) -> Any:
        made.append(request.label)
        return WRONG[wrong](request)

    good, bad = world.offered, KeyProvider("bad", create, world.service.verify, world.service.revoke)
    world.offer({"acme": good, "bad": bad})
    world.installed.set(keys={"a-bad": {"provider": "bad"}, "zgood": {"provider": "acme"}})
    for _ in range(3):
        report = await managing.rotate(world.job, None, force=False, dry_run=False)
        assert [*report.problems] == ["a-bad"]
    assert len(made) == 1  # it may have made one: a person has to look
    assert (await ledger.current("zgood")) is not None
    assert "rotation of the key a-bad is not well" in await world.installed.told()
    found = await checking.check()
    assert (found.ok, found.detail.startswith("a-bad: nobody knows")) == (False, True)
    rows = [await world.installed.rows(f"SELECT * FROM {name}") for name in ("maintenance_key_event",)]
    assert "CANARY" not in str(rows) + report.summary


@on_sqlite
async def test_a_provider_that_always_answers_wrongly_makes_few_keys_and_all_are_revoked(
    world: World,
) -> None:
    async def create(request: KeyRequest) -> Any:
        await world.service.create(request)

    world.offered = KeyProvider(
        "acme", create, world.service.verify, world.service.revoke, find=world.service.find
    )
    said = [await world.rotate() for _ in range(6)]
    assert "`create` of acme returned NoneType, expected an ApiKey" in said[0]
    assert said[3].startswith("rolled back: 3 keys in a row were lost; the provider has given no key")
    assert said[4:] == ["", ""]  # the next one comes after a day
    assert (world.service.made, world.service.keys) == (3, {})
    assert "acme: it was never made: rolled back: 3 keys" in (await checking.check()).detail


@on_sqlite
async def test_an_id_that_is_found_must_be_one_too(world: World) -> None:
    async def find(request: KeyRequest) -> Any:
        return 4711

    world.service.faults["create done"] = TransientError("no answer")
    world.offered = KeyProvider(
        "acme", world.service.create, world.service.verify, world.service.revoke, find=find
    )
    await world.rotate()
    for _ in range(2):
        assert "of type int, expected text: give str(id)" in await world.rotate()
    assert (world.service.made, await world.state()) == (1, "creating")
    assert not (await checking.check()).ok


@pytest.mark.parametrize("error", [ValueError("odd"), RecursionError(), AssertionError("x"), StopIteration()])
@on_sqlite
async def test_whatever_is_raised_about_one_key_is_that_keys(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(managing, "turn", lambda name, job: _Raises(error))
        report = await managing.rotate(world.job, None, force=False, dry_run=False)
    assert [*report.problems] == ["acme"]
    assert "rotation of the key acme is not well" in await world.installed.told()


class _Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __aenter__(self) -> None:
        raise self.error

    async def __aexit__(self, *args: Any) -> None:
        """Never entered."""


@on_sqlite
async def test_a_lost_job_is_no_keys_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managing, "turn", lambda name, job: _Raises(StaleFence("gone")))
    with pytest.raises(StaleFence):
        await managing.rotate(world.job, None, force=False, dry_run=False)


# --- no answer


async def never(*args: Any) -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("step", ["create", "verify", "publish", "find", "revoke"])
@on_sqlite
async def test_a_provider_that_hangs_is_not_waited_for_for_ever(world: World, step: str) -> None:
    world.installed.set(provider_seconds=0.05, keys={"acme": {"provider": "acme", "overlap_hours": 0}})
    await world.rotate()
    if step == "find":
        world.service.faults["create done"] = TransientError("no answer")
        await world.rotate(force=True)
    setattr(world.service, step, never)
    world.offered = world.service.provider()
    said = await world.rotate(force=True)
    assert "the provider has not answered within 0.05 s" in said
    delattr(world.service, step)
    world.offered = world.service.provider()
    for _ in range(2):
        await world.rotate()
    assert (await world.state(), await world.works(), len(world.service.keys)) == ("current", True, 1)


@on_sqlite
async def test_a_providers_own_timeout_is_told_as_that(world: World) -> None:
    world.service.faults["verify"] = TimeoutError("handshake")
    assert "TimeoutError: handshake" in await world.rotate()


# --- what nobody goes on with


@on_sqlite
async def test_keys_that_are_not_made_and_rotations_left_alone_are_no_good_health(world: World) -> None:
    assert "acme: it was never made: each hour a run tries it" in (await checking.check()).detail
    world.service.faults["create"] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await world.rotate()
    assert (await checking.check()).ok  # somebody may be at it
    d = world.installed.hopyard.client().database.dialect
    await world.installed.execute(f"UPDATE maintenance_rotation SET updated = {d.minus('updated', '20000')}")
    assert "its rotation is creating since " in (await checking.check()).detail


@pytest.mark.parametrize("state", ["created", "published", "rolling back", "unknown"])
@on_both
async def test_any_open_rotation_can_be_ended(world: World, state: str) -> None:
    await world.rotate()
    if state == "created":
        world.service.faults["verify"] = TransientError("busy")
    if state == "unknown":
        world.offered = world.service.provider(find=False)
        world.service.faults["create done"] = TransientError("no answer")
        await world.rotate(force=True)
    if state == "rolling back":
        world.service.faults["verify"] = InvalidInput("no")
        await world.installed.execute("DELETE FROM maintenance_secret")
    await world.rotate(force=state != "unknown")
    assert await world.state() == state
    if state == "created":  # and nothing opens what is kept
        world.installed.set(master_keys=[LOST])
        assert "no master key opens" in await world.rotate()
        assert "created: no master key opens" in ((await managing.states())[0].problem or "")
    said = await by_hand.abandon("acme", "ada")
    assert f"it was {state}; " in said
    assert ("k1 stays in use" in said) is (state != "published")
    events = await ledger.events("acme", 1)
    assert (events[0]["step"], events[0]["person"]) == ("abandoned", "ada")
    assert [*world.service.keys] == ["k1", "k2"]  # nothing is revoked
    with pytest.raises(InvalidInput, match="no rotation of the key `acme` is open"):
        await by_hand.abandon("acme", "ada")
    world.offered = world.service.provider()
    assert (await world.rotate(force=True)).startswith("the new key is in use; ")
    assert await world.works()


@on_sqlite
async def test_a_lost_version_is_told_and_kept(world: World) -> None:
    world.service.faults["verify"] = TransientError("busy")
    await world.rotate()
    await world.installed.execute("DELETE FROM maintenance_secret")
    assert "the store has lost version" in await world.rotate()
    (state,) = await managing.states()
    assert "created: the store has lost version" in (state.problem or "")


@on_sqlite
async def test_a_rotation_whose_key_left_the_settings_is_seen_and_can_be_ended(world: World) -> None:
    await world.rotate()
    await world.rotate(force=True)
    world.installed.set(keys={})
    (state,) = await managing.states()
    assert (state.name, state.state) == ("acme", "published")
    assert "acme: it has left the settings while it was rotated" in (await checking.check()).detail
    assert "k2 stays in use; its provider may still have k1" in await by_hand.abandon("acme", "ada")
    assert (await checking.check()).ok


@on_sqlite
async def test_nobody_ends_what_a_job_is_at(world: World) -> None:
    await world.rotate()
    await world.rotate(force=True)
    other = world.installed.job()
    now = world.installed.hopyard.client().database.dialect.now
    await world.installed.execute(
        "INSERT INTO job_live (id, task, queue, priority, state, body, headers, created) "
        f"VALUES ($1, 'x.y', 'x', 5, 2, '[]', '', {now})",
        other.id,
    )
    async with turn("key acme", other):
        with pytest.raises(Taken, match="a job is at it just now"):
            await by_hand.abandon("acme", "ada")
    await by_hand.abandon("acme", "ada")
    assert await world.installed.rows("SELECT name FROM maintenance_turn") == []


# --- whose clock


@pytest.mark.parametrize("days", [-4000, 4000])
@on_both
async def test_the_workers_clock_decides_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    now = storage.utcnow()
    monkeypatch.setattr(storage, "utcnow", lambda: now + timedelta(days=days))
    await world.rotate()
    assert await world.rotate() == ""  # not due
    await world.rotate(force=True)
    assert await world.rotate() == ""  # both keys work
    assert ([*world.service.keys], (await checking.check()).ok) == (["k1", "k2"], True)
    await world.overlap_ends()
    assert await world.rotate() == "the old key is revoked"


# --- bringing one in


@on_sqlite
async def test_a_key_that_does_not_work_is_not_taken_in(world: World) -> None:
    with pytest.raises(InvalidInput, match=r"its provider does not take the key: \*\*\* is no key of ours"):
        await by_hand.adopt("acme", "k0", SecretStr("CANARY-mistyped"), "ada")
    assert await world.current() is None
    assert await world.installed.rows("SELECT version FROM maintenance_secret") == []


BLANK, NUL = ("k", "  \n  \n "), ("k", "a\0bcdef")


@pytest.mark.parametrize(("id_", "secret"), [("a\nb", "CANARY-x"), ("", "CANARY-x"), ("k", ""), BLANK, NUL])
@on_sqlite
async def test_what_is_no_key_is_not_taken_in(world: World, id_: str, secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await by_hand.adopt("acme", id_, SecretStr(secret), "ada")
    assert "CANARY" not in str(caught.value)
    assert world.service.asked == []


@on_both
async def test_a_rotation_that_begins_while_a_key_is_brought_in_wins(world: World) -> None:
    """The provider takes its time to try it: meanwhile the hourly run makes the first key."""
    world.service.keys["k0"] = ("by hand", "CANARY-of-before")
    verify: Callable[..., Awaitable[None]] = world.service.verify

    async def slow(request: KeyRequest, key: ApiKey) -> None:
        if key.id == "k0":
            world.offered = world.service.provider()
            world.service.faults["verify"] = TransientError("busy")
            await world.rotate()
        await verify(request, key)

    world.offered = KeyProvider("acme", world.service.create, slow, world.service.revoke)
    with pytest.raises(InvalidInput, match="is being rotated: created"):
        await by_hand.adopt("acme", "k0", SecretStr("CANARY-of-before"), "ada")
    assert len(await world.installed.rows("SELECT version FROM maintenance_secret")) == 1
    assert await world.rotate() == "the first key is in use"
    assert await world.works()


# --- where it is kept


@on_sqlite
async def test_a_key_is_read_where_it_was_kept(world: World) -> None:
    await world.rotate()
    vault = {"url": "http://127.0.0.1:1", "token": "s.token"}
    world.installed.set(vault=vault, keys={"acme": {"provider": "acme", "store": "vault"}})
    assert await world.works()
    assert (await managing.states())[0].store == "table"
    assert "127.0.0.1:1" in await world.rotate(force=True)  # the next one is to be kept there
    assert "could not be removed: http://127.0.0.1:1: " in await by_hand.abandon("acme", None)
    assert await world.state() == "current"
    assert (await Maintenance.current().read_key("acme")).get_secret_value().startswith("CANARY")
