"""Rotating keys: each step, each death, each refusal; and no key in anything that anybody reads."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from hopyard.errors import AuthenticationError, InvalidInput, StaleFence, TransientError
from hopyard_maintenance import ApiKey, KeyProvider, KeyRequest, Maintenance
from hopyard_maintenance.keys import by_hand, checking, ledger, managing, stores
from hopyard_maintenance.keys.rotation import next_label
from hopyard_maintenance.keys.sealing import Seal
from hopyard_maintenance.turns import turn
from key_service import MASTER, Died, World
from pydantic import SecretStr

OLD_MASTER = Fernet.generate_key().decode()
DAY = 86_400.0


on_both = pytest.mark.parametrize("installed", ["sqlite", "postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("installed", ["sqlite"], indirect=True)


@pytest.fixture
def world(installed: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world."""
    return World(installed, monkeypatch)


@on_sqlite
async def test_the_first_key_is_made(world: World) -> None:
    with pytest.raises(InvalidInput, match="there is no key `acme` yet"):
        await Maintenance.current().read_key("acme")
    assert await world.rotate() == "the first key is in use"
    assert (await world.current(), [*world.service.keys], await world.works()) == ("k1", ["k1"], True)
    assert await world.steps() == ["begin", "creating", "created", "verified", "published", "done"]
    assert await world.rotate() == ""
    events = await ledger.events(None, 1)
    assert (events[0]["person"], events[0]["job"]) == ("ada", world.job.id)


@on_both
async def test_both_keys_work_until_the_old_one_is_revoked(world: World) -> None:
    await world.rotate()
    assert (await world.rotate(force=True)).startswith("the new key is in use; the old one works until ")
    assert (await world.current(), [*world.service.keys]) == ("k2", ["k1", "k2"])
    assert await world.rotate() == ""
    assert (await world.rotate(force=True)).startswith("is new already: the old key works until ")
    await world.overlap_ends()
    assert await world.rotate() == "the old key is revoked"
    assert ([*world.service.keys], await world.works()) == (["k2"], True)
    assert len(await world.installed.rows("SELECT version FROM maintenance_secret")) == 1


@on_both
async def test_a_key_is_rotated_when_it_is_old_enough(world: World) -> None:
    await world.rotate()
    d = world.installed.hopyard.client().database.dialect
    for days, expected in ((89, "k1"), (2, "k2")):
        await world.installed.execute(
            f"UPDATE maintenance_key SET published = {d.minus('published', '$1')}", days * DAY
        )
        await world.rotate()
        assert await world.current() == expected


@on_sqlite
async def test_without_overlap_the_old_key_goes_at_once(world: World) -> None:
    world.installed.set(keys={"acme": {"provider": "acme", "overlap_hours": 0}})
    await world.rotate()
    assert await world.rotate(force=True) == "the old key is revoked"
    assert [*world.service.keys] == ["k2"]


MOMENTS = [f"{step}{when}" for step in ("create", "verify", "publish", "revoke") for when in ("", " done")]


@pytest.mark.parametrize("moment", MOMENTS)
@on_both
async def test_a_death_at_any_step_makes_no_second_key(world: World, moment: str) -> None:
    await world.rotate()
    world.service.faults[moment] = Died()
    if moment.startswith("revoke"):
        await world.rotate(force=True)
        await world.overlap_ends()
        await world.dies()
    else:
        await world.dies(force=True)
        await world.rotate()
    await world.overlap_ends()
    await world.rotate()
    assert len(world.service.keys) == 1, world.service.asked
    assert (await world.current(), await world.works()) == (next(iter(world.service.keys)), True)
    assert await world.state() == "current"
    # The one that was lost with its secret is gone, and another one was made.
    assert world.service.made == (3 if moment == "create done" else 2)


@pytest.mark.parametrize("step", ["keep", "move"])
@on_sqlite
async def test_a_death_between_our_own_steps(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After the key was made, before it is kept, or before it is noted that it is."""
    await world.rotate()

    async def dies(*args: Any, **kwargs: Any) -> None:
        raise Died

    async def dies_when_created(job: Any, rotation: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        if state == "created":
            raise Died
        return await real(job, rotation, state, *args, **kwargs)

    real = ledger.move
    with monkeypatch.context() as patched:
        if step == "keep":
            patched.setattr(stores.TableStore, "keep", dies)
        else:
            patched.setattr(ledger, "move", dies_when_created)
        await world.dies(force=True)
    await world.rotate()
    await world.overlap_ends()
    await world.rotate()
    assert (len(world.service.keys), await world.works()) == (1, True)
    assert world.service.made == (3 if step == "keep" else 2)


@on_sqlite
async def test_another_job_goes_on_where_one_is_over(world: World) -> None:
    world.service.faults["verify"] = Died()
    await world.dies()
    world.job = world.installed.job()  # of the first one the ledger knows nothing: it is over
    assert await world.rotate() == "the first key is in use"
    assert world.service.made == 1


@on_sqlite
async def test_one_that_makes_no_second_key_is_asked_again(world: World) -> None:
    world.offered = world.service.provider(find=False, repeatable=True)
    world.service.faults["create done"] = Died()
    await world.dies()
    label = next(iter(world.service.keys.values()))[0]
    await world.rotate()
    assert [one[0] for one in world.service.keys.values()] == [label, label]


@on_sqlite
async def test_where_nobody_can_know_a_person_must_look(world: World) -> None:
    world.offered = world.service.provider(find=False)
    world.service.faults["create done"] = Died()
    await world.dies()
    for _ in range(2):
        assert "nobody knows whether the provider has made a key" in await world.rotate()
    assert (await world.state(), world.service.made) == ("unknown", 1)
    assert await world.installed.told() == ["rotation of the key acme is not well"]
    assert not (await checking.check()).ok
    world.service.keys.clear()
    assert (await by_hand.resolve("acme", "ada")).startswith("The next run makes the key acme-")
    with pytest.raises(InvalidInput, match="is not unknown"):
        await by_hand.resolve("acme", "ada")
    assert await world.rotate() == "the first key is in use"
    assert await world.installed.told() == [
        "rotation of the key acme is not well",
        "rotation of the key acme is well again",
    ]


@pytest.mark.parametrize(
    ("error", "moment"),
    [
        (TransientError("busy"), "create"),
        (TransientError("busy"), "create done"),
        (OSError("x"), "create done"),
    ],
)
@on_sqlite
async def test_a_create_without_an_answer_is_found_out(world: World, error: Exception, moment: str) -> None:
    world.service.faults[moment] = error
    assert "may have made it" in await world.rotate()
    assert await world.rotate() == "the first key is in use"
    assert len(world.service.keys) == 1


@on_sqlite
async def test_a_refused_create_has_made_nothing(world: World) -> None:
    world.service.faults["create"] = AuthenticationError("your account is closed")
    assert await world.rotate() == "the provider refuses to make a key: your account is closed"
    assert await world.state() == "begun"
    assert await world.rotate() == "the first key is in use"
    assert "find" not in world.service.asked


@pytest.mark.parametrize("step", ["verify", "publish", "revoke"])
@on_sqlite
async def test_what_passes_is_tried_again(world: World, step: str) -> None:
    await world.rotate()
    if step == "revoke":
        await world.rotate(force=True)
        await world.overlap_ends()
    world.service.faults[step] = TransientError("busy")
    assert "busy" in await world.rotate(force=step != "revoke")
    assert await world.works()
    await world.rotate()
    await world.overlap_ends()
    await world.rotate()
    assert (await world.state(), len(world.service.keys), world.service.made) == ("current", 1, 2)


@pytest.mark.parametrize("error", [AuthenticationError("no"), InvalidInput("no"), KeyError("no")])
@pytest.mark.parametrize("step", ["verify", "publish"])
@on_sqlite
async def test_what_never_works_is_rolled_back(world: World, step: str, error: Exception) -> None:
    await world.rotate()
    world.service.faults[step] = error
    assert (await world.rotate(force=True)).startswith("rolled back: it ")
    assert (await world.current(), [*world.service.keys], await world.works()) == ("k1", ["k1"], True)
    assert world.service.installed[-1] == "k1"
    assert (await world.steps())[-2:] == ["rolling back", "rolled back"]
    d = world.installed.hopyard.client().database.dialect
    await world.installed.execute(
        f"UPDATE maintenance_key SET published = {d.minus('published', '$1')}", 91 * DAY
    )
    assert await world.rotate() == ""  # not each hour
    await world.installed.execute(
        f"UPDATE maintenance_rotation SET started = {d.minus('started', '$1')}", DAY
    )
    await world.rotate()
    assert await world.current() == "k3"


@pytest.mark.parametrize("moment", ["publish", "publish done", "revoke", "revoke done"])
@on_sqlite
async def test_a_death_while_rolling_back(world: World, moment: str) -> None:
    await world.rotate()
    world.service.faults["verify"] = InvalidInput("no")
    world.service.faults[moment] = Died()
    await world.dies(force=True)
    await world.rotate()
    assert (await world.current(), [*world.service.keys], await world.works()) == ("k1", ["k1"], True)


@on_sqlite
async def test_a_person_takes_a_key_back(world: World) -> None:
    await world.rotate()
    with pytest.raises(InvalidInput, match="has no predecessor that still works"):
        await by_hand.roll_back(world.job, "acme")
    await world.rotate(force=True)
    assert await by_hand.roll_back(world.job, "acme") == "rolled back: a person took it back"
    assert (await world.current(), [*world.service.keys], await world.works()) == ("k1", ["k1"], True)
    await world.rotate(force=True)
    await world.overlap_ends()
    await world.rotate()
    with pytest.raises(InvalidInput, match="has no predecessor"):
        await by_hand.roll_back(world.job, "acme")


@on_sqlite
async def test_a_key_that_exists_already_is_taken_in(world: World) -> None:
    world.service.keys["k0"] = ("by hand", "CANARY-of-before")
    await by_hand.adopt("acme", "k0", SecretStr("CANARY-of-before"), "ada")
    assert (await world.current(), await world.works()) == ("k0", True)
    await world.rotate(force=True)
    with pytest.raises(InvalidInput, match="is being rotated"):
        await by_hand.adopt("acme", "k9", SecretStr("CANARY-another"), "ada")
    await world.overlap_ends()
    await world.rotate()
    assert [*world.service.keys] == ["k1"]
    with pytest.raises(InvalidInput, match="the secret has 0 characters"):
        await by_hand.adopt("acme", "k9", SecretStr(""), "ada")
    with pytest.raises(InvalidInput, match="the settings have no key `other`; there are: acme"):
        await by_hand.adopt("other", "k9", SecretStr("CANARY-x"), "ada")


@on_sqlite
async def test_a_worker_that_lost_its_job_does_nothing_more(world: World) -> None:
    async def stale(**values: Any) -> None:
        raise StaleFence("another worker has it")

    world.job.save = stale
    with pytest.raises(StaleFence):
        await world.rotate()
    assert world.service.asked == ["create", "revoke"]  # the other worker makes a key of its own
    assert world.service.keys == {}
    assert await world.installed.rows("SELECT version FROM maintenance_secret") == []


@on_sqlite
async def test_a_worker_that_was_frozen_while_it_made_a_key_revokes_it(world: World) -> None:
    """Meanwhile its job was given to another one, which has found nothing and made another key."""
    frozen, create = world.job, world.service.create

    async def slow(request: KeyRequest) -> ApiKey:
        world.offered = world.service.provider()
        world.job = world.installed.job(frozen.id, "ada")
        world.job.attempt = 2
        assert await world.rotate() == "the first key is in use"

        async def stale(**values: Any) -> None:
            raise StaleFence("another worker has it")

        frozen.save = stale
        world.job = frozen
        return await create(request)

    world.offered = KeyProvider(
        "acme", slow, world.service.verify, world.service.revoke, find=world.service.find
    )
    with pytest.raises(StaleFence):
        await world.rotate()
    assert (world.service.made, await world.current(), await world.works()) == (2, "k1", True)
    assert [*world.service.keys] == ["k1"]


@on_both
async def test_two_at_one_rotation_do_not_both_go_on(world: World) -> None:
    world.service.faults["verify"] = Died()
    await world.dies()
    seen = await ledger.latest("acme")
    assert seen is not None
    await world.rotate()
    with pytest.raises(StaleFence, match="is no longer created"):
        await ledger.move(world.job, seen, "verified", "it works")


@on_sqlite
async def test_a_key_that_another_job_is_at_is_no_fault(world: World) -> None:
    other = world.installed.job()
    now = world.installed.hopyard.client().database.dialect.now
    await world.installed.execute(
        "INSERT INTO job_live (id, task, queue, priority, state, body, headers, created) "
        f"VALUES ($1, 'x.y', 'x', 5, 2, '[]', '', {now})",
        other.id,
    )
    async with turn("key acme", other):
        assert await world.rotate() == f"the job {other.id} is at it (key acme): one at a time"
    assert (world.service.asked, await world.installed.told()) == ([], [])


@on_sqlite
async def test_a_dry_run_does_nothing(world: World) -> None:
    async def dry(force: bool = False) -> str:
        return (await managing.rotate(world.job, None, force=force, dry_run=True)).summary

    assert await dry() == "acme: acme would make a new key."
    assert (world.service.asked, await world.steps()) == ([], [])
    await world.rotate()
    assert await dry() == "No key had to be rotated."
    await world.rotate(force=True)
    assert await dry() == "No key had to be rotated."
    await world.overlap_ends()
    assert await dry() == "acme: the old key would be revoked."


@on_sqlite
async def test_a_failing_key_costs_itself(world: World) -> None:
    world.installed.set(
        keys={"acme": {"provider": "acme"}, "other": {"provider": "acme"}, "gone": {"provider": "gone"}}
    )
    world.service.faults["create"] = InvalidInput("no more keys for you")
    report = await managing.rotate(world.job, None, force=False, dry_run=False)
    assert (sorted(report.done), sorted(report.problems)) == (["gone", "other"], ["acme"])


# --- no key anywhere


@on_both
async def test_no_key_is_in_clear_anywhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    said = [await world.rotate()]
    secret = next(iter(world.service.keys.values()))[1]
    for fault in ("verify", "publish"):
        world.service.faults[fault] = InvalidInput(f"{secret} is refused")
        said.append(await world.rotate(force=True))
    world.service.faults["verify done"] = RuntimeError(f"failed with {secret}")
    said.append(await world.rotate(force=True))
    await world.rotate(force=True)
    said.append(
        str(await managing.states()) + str(await ledger.events(None, 1000)) + str(await checking.check())
    )
    said.append(repr(await Maintenance.current().read_key("acme")))
    said += [str(one) for one in world.job.told] + [str(world.job.checkpoint), caplog.text]
    tables = await world.installed.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if not world.installed.postgres
        else "SELECT CAST(tablename AS text) AS name FROM pg_tables WHERE schemaname = 'public'"
    )
    assert len(tables) > 20
    for table in tables:
        said.append(str(await world.installed.rows(f'SELECT * FROM "{table["name"]}"')))
    told = "\n".join(said)
    assert "CANARY" not in told
    assert "*** is refused" in told


@on_sqlite
async def test_a_key_that_cannot_be_kept_is_not_told_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: Any, name: str, version: str, key: ApiKey) -> None:
        raise RuntimeError(f"no room for {key.secret.get_secret_value()}")

    with monkeypatch.context() as patched:
        patched.setattr(stores.TableStore, "keep", fails)
        assert await world.rotate() == "creating: RuntimeError: no room for ***"
    assert "CANARY" not in str(await ledger.events(None, 100))
    assert await world.rotate() == "the first key is in use"
    assert len(world.service.keys) == 1


@on_sqlite
async def test_no_key_is_made_for_a_store_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: Any, name: str, version: str) -> None:
        raise TransientError("the vault is sealed")

    with monkeypatch.context() as patched:
        patched.setattr(stores.TableStore, "read", away)
        assert await world.rotate() == "begun: the vault is sealed"
    assert world.service.made == 0
    assert await world.rotate() == "the first key is in use"


# --- master keys


@on_both
async def test_a_new_master_key_seals_anew_and_the_old_one_can_go(world: World) -> None:
    world.installed.set(master_keys=[OLD_MASTER])
    await world.rotate()
    world.installed.set(master_keys=[MASTER])
    with pytest.raises(AuthenticationError, match="no master key opens the key `acme`"):
        await Maintenance.current().read_key("acme")
    assert not (await checking.check()).ok
    assert (await world.rotate()) == "no master key opens it"
    world.installed.set(master_keys=[MASTER, OLD_MASTER])
    assert await world.works()
    assert await stores.reseal(Seal([SecretStr(MASTER), SecretStr(OLD_MASTER)])) == (1, [])
    assert await stores.reseal(Seal([SecretStr(MASTER), SecretStr(OLD_MASTER)])) == (0, [])
    world.installed.set(master_keys=[MASTER])
    assert await world.works()
    assert (await checking.check()).ok


@on_sqlite
async def test_what_is_sealed_fits_its_own_row_only(world: World) -> None:
    world.installed.set(keys={"acme": {"provider": "acme"}, "other": {"provider": "acme"}})
    await managing.rotate(world.job, None, force=False, dry_run=False)
    await world.installed.execute(
        "UPDATE maintenance_secret SET sealed = (SELECT sealed FROM maintenance_secret WHERE name = 'other') "
        "WHERE name = 'acme'"
    )
    with pytest.raises(
        AuthenticationError, match="what stands in the place of the key `acme` is another key"
    ):
        await Maintenance.current().read_key("acme")
    await world.installed.execute("UPDATE maintenance_secret SET sealed = 'gAAAAA-tampered'")
    with pytest.raises(AuthenticationError, match="no master key opens"):
        await Maintenance.current().read_key("acme")


def test_labels_are_never_used_twice() -> None:
    assert next_label("acme-1f") == "acme-1f.2"
    assert next_label("acme-1f.2") == "acme-1f.3"


@on_sqlite
async def test_overdue_keys_are_no_good_health(world: World) -> None:
    await world.rotate()
    assert (await checking.check()).detail == "1 keys are in order"
    d = world.installed.hopyard.client().database.dialect
    await world.installed.execute(
        f"UPDATE maintenance_key SET published = {d.minus('published', '$1')}", 93 * DAY
    )
    assert "it was to be rotated on" in (await checking.check()).detail
