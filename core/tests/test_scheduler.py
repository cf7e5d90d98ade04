"""The scheduler: once per due time, by whoever leads, with the layers of who said what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard import current
from hopyard.app import Hopyard
from hopyard.errors import ScheduleError
from hopyard.ledger import leader, waiting, workers
from hopyard.ledger.database import Database
from hopyard.ledger.values import Done, moment, utcnow
from hopyard.schedule import scheduler as scheduler_module
from hopyard.schedule import store
from hopyard.schedule.scheduler import DUTY, Scheduler
from hopyard.specs import Rule, Schedule, State

HOPFILE = """
from hopyard import Plugin, Queue, Rule, Schedule, hookimpl, task

@task("site.tick")
async def tick(n: int = 0) -> None:
    "Nothing."

class Site(Plugin):
    @hookimpl
    def register_queues(self): return [Queue("site")]
    @hookimpl
    def register_tasks(self): return [tick]
    @hookimpl
    def register_schedules(self):
        return [Schedule("site.hourly", "site.tick", Rule(every=3600.0), kwargs={"n": 1})]
"""


@pytest.fixture
async def hopyard(database_url: str, tmp_path: Path) -> AsyncIterator[Hopyard]:
    """A Hopyard with one declared schedule; its broker is not there, which scheduling does not need."""
    made = load(tmp_path, database_url)
    yield made
    await made.close()
    current.set_instance(None)


def load(folder: Path, database_url: str, *, extra: str = "", hopfile: str = HOPFILE) -> Hopyard:
    (folder / "hopfile.py").write_text(hopfile)
    (folder / "hopyard.toml").write_text(
        f'broker_url = "redis://127.0.0.1:1/0"\ndatabase_url = "{database_url}"\n'
        f'data = "{folder / "data"}"\n{extra}'
    )
    return Hopyard.load(config=folder / "hopyard.toml")


async def put(
    hopyard: Hopyard, schedule: Schedule, *, due: datetime | None = None, person: str | None = None
) -> None:
    """Store a person's schedule; `due` is when it is next due."""
    database = hopyard.client().database
    async with database.transaction() as tx:
        await store.put(tx, database.dialect, schedule, person=person)
        if due is not None:
            await tx.execute("UPDATE schedule SET next_due = $2 WHERE name = $1", schedule.name, due)


async def fired(hopyard: Hopyard, name: str = "mine") -> list[tuple[datetime | None, bool]]:
    """Return each due time of a schedule, and whether it made a job."""
    rows = await hopyard.client().database.fetch(
        "SELECT due, job_id FROM schedule_fire WHERE schedule = $1 ORDER BY due", name
    )
    return [(moment(row["due"]), row["job_id"] is not None) for row in rows]


async def jobs(hopyard: Hopyard, name: str = "mine") -> list[dict[str, Any]]:
    rows = await hopyard.client().database.fetch(
        "SELECT id, task, queue, body, due, person, state FROM job_live WHERE schedule = $1 ORDER BY due",
        name,
    )
    return [{key: row[key] for key in row.keys()} for row in rows]  # noqa: SIM118


async def get(hopyard: Hopyard, name: str) -> store.Stored:
    async with hopyard.client().database.transaction() as tx:
        return await store.get(tx, name)


def mine(**values: Any) -> Schedule:
    """Every minute, and half a minute from the next time: none falls due while a test runs."""
    return Schedule("mine", "site.tick", Rule(every=60.0, anchor=utcnow() - timedelta(seconds=30)), **values)


# --- firing


async def test_what_is_due_becomes_a_job(hopyard: Hopyard) -> None:
    due = utcnow() - timedelta(seconds=1)
    await put(hopyard, mine(kwargs={"n": 7}), due=due, person="ada")
    pause = await Scheduler(hopyard).tick()
    (job,) = await jobs(hopyard)
    assert (job["task"], job["queue"], job["person"]) == ("site.tick", "site", "ada")
    assert job["state"] == State.QUEUED
    assert moment(job["due"]) == due
    assert '{"n": 7}' in job["body"]
    assert await fired(hopyard) == [(due, True)]
    assert 0 < pause <= scheduler_module.MAX_SLEEP
    stored = await get(hopyard, "mine")
    assert stored.last_due == due
    assert stored.next_due
    assert stored.next_due > utcnow()
    # Nobody rang, for the broker is away: the relay will.
    assert len(await waiting.unsent(hopyard.client().database, -1.0)) == 1


async def test_what_is_not_due_does_not_fire(hopyard: Hopyard) -> None:
    await put(hopyard, mine())
    await Scheduler(hopyard).tick()
    assert await fired(hopyard) == []


@pytest.mark.parametrize("days", [1, -1])
async def test_a_wrong_clock_fires_nothing_early_and_forgets_nothing(
    hopyard: Hopyard, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """What is due is the ledger's word."""
    due = utcnow() - timedelta(seconds=1)
    rule = Rule(every=60.0, anchor=utcnow() - timedelta(days=2, seconds=30))
    await put(hopyard, replace(mine(misfire="all", overlap="allow"), rule=rule), due=due)
    monkeypatch.setattr(scheduler_module, "utcnow", lambda: utcnow() + timedelta(days=days))
    await Scheduler(hopyard).tick()
    assert await fired(hopyard) == [(due, True)]
    following = (await get(hopyard, "mine")).next_due
    assert following
    assert utcnow() - timedelta(seconds=60) < following <= utcnow() + timedelta(seconds=60)


async def test_two_schedulers_at_once_fire_once(hopyard: Hopyard) -> None:
    for n in range(20):
        await put(hopyard, replace(mine(), name=f"mine{n}"), due=utcnow() - timedelta(seconds=1))
    several = [Scheduler(hopyard) for _ in range(3)]
    for _ in range(3):
        await asyncio.gather(*(scheduler.tick() for scheduler in several))
    for n in range(20):
        assert len(await jobs(hopyard, f"mine{n}")) == 1
        assert len(await fired(hopyard, f"mine{n}")) == 1


async def test_a_due_time_that_has_fired_never_fires_again(hopyard: Hopyard) -> None:
    """Whatever happened to clocks and to the schedule's own row."""
    due = utcnow() - timedelta(seconds=1)
    scheduler = Scheduler(hopyard)
    await put(hopyard, mine(), due=due)
    await scheduler.tick()
    await hopyard.client().database.execute("UPDATE schedule SET next_due = $1 WHERE name = 'mine'", due)
    await scheduler.tick()
    assert len(await jobs(hopyard)) == 1


async def test_a_deposed_scheduler_fires_nothing(hopyard: Hopyard) -> None:
    database = hopyard.client().database
    old, new = Scheduler(hopyard), Scheduler(hopyard)
    await old.tick()
    term = old._term
    assert term is not None
    moved = database.dialect.plus("until", "-60")
    await database.execute(f"UPDATE leader SET until = {moved} WHERE name = $1", DUTY)
    await new.tick()
    await put(hopyard, mine(), due=utcnow() - timedelta(seconds=1))
    assert await old._fire(term) == 0
    assert await jobs(hopyard) == []
    await new.tick()
    assert len(await jobs(hopyard)) == 1


async def test_another_takes_over_at_once_from_one_that_resigned(hopyard: Hopyard) -> None:
    first, second = Scheduler(hopyard), Scheduler(hopyard)
    await first.tick()
    await put(hopyard, mine(), due=utcnow() - timedelta(seconds=1))
    await second.tick()
    assert await jobs(hopyard) == []
    await first.resign()
    await second.tick()
    assert len(await jobs(hopyard)) == 1


async def test_a_one_off_fires_once_and_is_over(hopyard: Hopyard) -> None:
    at = utcnow() + timedelta(hours=1)
    await put(hopyard, Schedule("mine", "site.tick", Rule(at=at)))
    await hopyard.client().database.execute(
        "UPDATE schedule SET next_due = $1 WHERE name = 'mine'", utcnow() - timedelta(seconds=1)
    )
    scheduler = Scheduler(hopyard)
    await scheduler.tick()
    assert len(await jobs(hopyard)) == 1


async def test_a_rule_that_will_never_be_due_is_refused(hopyard: Hopyard) -> None:
    with pytest.raises(ScheduleError, match="never"):
        await put(hopyard, Schedule("mine", "site.tick", Rule(at=utcnow() - timedelta(hours=1))))


# --- due times that passed while nobody looked


@pytest.mark.parametrize(("misfire", "expected"), [("all", 6), ("latest", 1), ("skip", 0)])
async def test_missed_due_times_follow_the_policy(hopyard: Hopyard, misfire: Any, expected: int) -> None:
    start = utcnow() - timedelta(minutes=5, seconds=30)
    rule = Rule(every=60.0, anchor=start)
    await put(hopyard, Schedule("mine", "site.tick", rule, misfire=misfire), due=start)
    scheduler = Scheduler(hopyard)
    await scheduler.tick()
    await scheduler.tick()
    found = await jobs(hopyard)
    assert len(found) == expected
    if misfire == "latest":
        assert moment(found[0]["due"]) == start + timedelta(minutes=5)
    if misfire == "all":
        assert [moment(job["due"]) for job in found] == [start + timedelta(minutes=n) for n in range(6)]
    stored = await get(hopyard, "mine")
    assert stored.next_due
    assert stored.next_due > utcnow()


async def test_latest_means_one_however_many_were_missed(hopyard: Hopyard) -> None:
    start = utcnow() - timedelta(seconds=1000)
    rule = Rule(every=1.0, anchor=start)
    await put(hopyard, Schedule("mine", "site.tick", rule, misfire="latest"), due=start)
    await Scheduler(hopyard).tick()
    found = await jobs(hopyard)
    assert len(found) <= 2  # a second may have begun meanwhile
    due = moment(found[-1]["due"])
    assert due
    assert utcnow() - due < timedelta(seconds=30)


async def test_all_means_all_however_many_were_missed(hopyard: Hopyard) -> None:
    start = utcnow() - timedelta(seconds=3030)
    rule = Rule(every=10.0, anchor=start)
    await put(hopyard, Schedule("mine", "site.tick", rule, misfire="all"), due=start)
    scheduler = Scheduler(hopyard)
    before, made = -1, 0
    while made != before:
        await scheduler.tick()
        before, made = made, len(await jobs(hopyard))
    assert made in (304, 305)


async def test_due_times_older_than_catch_up_never_run(hopyard: Hopyard) -> None:
    start = utcnow() - timedelta(hours=30)
    rule = Rule(every=3600.0, anchor=start)
    schedule = Schedule("mine", "site.tick", rule, misfire="all", catch_up=timedelta(hours=3, minutes=30))
    await put(hopyard, schedule, due=start)
    await Scheduler(hopyard).tick()
    assert [moment(job["due"]) for job in await jobs(hopyard)] == [
        start + timedelta(hours=n) for n in (27, 28, 29, 30)
    ]


# --- overlap


async def test_skip_lets_no_two_jobs_of_a_schedule_run_at_once(hopyard: Hopyard) -> None:
    database, scheduler = hopyard.client().database, Scheduler(hopyard)
    await put(hopyard, mine(overlap="skip"), due=utcnow() - timedelta(seconds=3))
    await scheduler.tick()
    for ago in (2, 1):
        due = utcnow() - timedelta(seconds=ago)
        await database.execute("UPDATE schedule SET next_due = $1 WHERE name = 'mine'", due)
        await scheduler.tick()
    (job,) = await jobs(hopyard)
    assert [made for _, made in await fired(hopyard)] == [True, False, False]
    await database.execute("DELETE FROM job_live WHERE id = $1", str(job["id"]))
    await database.execute("UPDATE schedule SET next_due = $1 WHERE name = 'mine'", utcnow())
    await scheduler.tick()
    assert len(await jobs(hopyard)) == 1


async def test_skip_holds_among_missed_due_times_too(hopyard: Hopyard) -> None:
    start = utcnow() - timedelta(minutes=5, seconds=30)
    schedule = Schedule("mine", "site.tick", Rule(every=60.0, anchor=start), misfire="all", overlap="skip")
    await put(hopyard, schedule, due=start)
    await Scheduler(hopyard).tick()
    assert len(await jobs(hopyard)) == 1


async def test_cancel_ends_the_job_before_for_the_new_one(hopyard: Hopyard) -> None:
    now = utcnow()
    await put(hopyard, mine(overlap="cancel"), due=now - timedelta(seconds=61))
    scheduler = Scheduler(hopyard)
    await scheduler.tick()
    (before,) = await jobs(hopyard)
    await hopyard.client().database.execute("UPDATE schedule SET next_due = $1", now)
    await scheduler.tick()
    (new,) = await jobs(hopyard)
    assert new["id"] != before["id"]
    past = await hopyard.client().database.fetch("SELECT state, reason FROM job_history")
    assert [(row["state"], row["reason"]) for row in past] == [
        (State.CANCELLED, "its schedule was due again")
    ]


async def test_allow_lets_them(hopyard: Hopyard) -> None:
    database, scheduler = hopyard.client().database, Scheduler(hopyard)
    for ago in (3, 2):
        due = utcnow() - timedelta(seconds=ago)
        if ago == 3:
            await put(hopyard, mine(), due=due)
        await database.execute("UPDATE schedule SET next_due = $1 WHERE name = 'mine'", due)
        await scheduler.tick()
    assert len(await jobs(hopyard)) == 2


# --- layers


async def redeclare(folder: Path, url: str, **values: Any) -> Hopyard:
    """Start a scheduler with other plugins or settings, as a new release would."""
    await current.get().close()
    made = load(folder, url, **values)
    database = made.client().database
    await leader.resign(database, DUTY, (await database.fetch("SELECT holder FROM leader"))[0]["holder"])
    await Scheduler(made).tick()
    return made


async def test_an_edit_goes_over_settings_goes_over_the_plugin(
    hopyard: Hopyard, database_url: str, tmp_path: Path
) -> None:
    name = "site.hourly"
    await Scheduler(hopyard).tick()
    stored = await get(hopyard, name)
    assert (stored.schedule.rule.every, stored.source, stored.edited) == (3600.0, "plugin", False)

    settings = '[schedules."site.hourly"]\nevery = "30m"\n'
    hopyard = await redeclare(tmp_path, database_url, extra=settings)
    stored = await get(hopyard, name)
    assert stored.schedule.rule.every == 1800.0

    database = hopyard.client().database
    async with database.transaction() as tx:
        await store.edit(tx, database.dialect, name, rule=Rule(every=600.0))
    hopyard = await redeclare(tmp_path, database_url, hopfile=HOPFILE.replace('"n": 1', '"n": 2'))
    stored = await get(hopyard, name)
    assert (stored.schedule.rule.every, stored.edited) == (600.0, True)
    assert stored.schedule.kwargs == {"n": 2}  # what was not edited follows the plugin
    await hopyard.close()


async def test_a_declared_schedule_that_is_deleted_is_disabled(
    hopyard: Hopyard, database_url: str, tmp_path: Path
) -> None:
    database = hopyard.client().database
    await Scheduler(hopyard).tick()
    async with database.transaction() as tx:
        await store.delete(tx, database.dialect, "site.hourly")
    stored = await get(hopyard, "site.hourly")
    assert (stored.schedule.enabled, stored.next_due) == (False, None)
    hopyard = await redeclare(tmp_path, database_url)
    assert not (await get(hopyard, "site.hourly")).schedule.enabled
    await hopyard.close()


async def test_a_persons_schedule_that_is_deleted_is_gone(hopyard: Hopyard) -> None:
    database = hopyard.client().database
    await put(hopyard, mine())
    async with database.transaction() as tx:
        await store.delete(tx, database.dialect, "mine")
    with pytest.raises(ScheduleError, match="no schedule `mine`"):
        await get(hopyard, "mine")


async def test_a_schedule_that_is_no_longer_declared_stops_and_may_come_back(
    hopyard: Hopyard, database_url: str, tmp_path: Path
) -> None:
    await Scheduler(hopyard).tick()
    none = HOPFILE.replace("return [Schedule(", "return [][:0] and [Schedule(")
    hopyard = await redeclare(tmp_path, database_url, hopfile=none)
    stored = await get(hopyard, "site.hourly")
    assert (stored.schedule.enabled, stored.next_due) == (False, None)
    hopyard = await redeclare(tmp_path, database_url)
    stored = await get(hopyard, "site.hourly")
    assert stored.schedule.enabled
    assert stored.next_due is not None
    await hopyard.close()


async def test_declaring_again_does_not_move_the_next_due_time(
    hopyard: Hopyard, database_url: str, tmp_path: Path
) -> None:
    """A restart must not put off what is due."""
    await Scheduler(hopyard).tick()
    before = await get(hopyard, "site.hourly")
    hopyard = await redeclare(tmp_path, database_url)
    assert await get(hopyard, "site.hourly") == before
    await hopyard.close()


async def test_an_edit_that_is_no_rule_changes_nothing(hopyard: Hopyard) -> None:
    database = hopyard.client().database
    await put(hopyard, mine())

    async def edit() -> None:
        async with database.transaction() as tx:
            await store.edit(tx, database.dialect, "mine", rule=Rule(cron="61 * * * *"))

    with pytest.raises(ScheduleError):
        await edit()
    assert (await get(hopyard, "mine")).schedule.rule.every == 60.0


async def test_a_ledger_that_is_away_makes_scheduling_wait(hopyard: Hopyard, monkeypatch: Any) -> None:
    from hopyard.errors import LedgerUnavailable

    async def away(*args: Any) -> int:
        raise LedgerUnavailable("away")

    scheduler = Scheduler(hopyard)
    monkeypatch.setattr(scheduler_module.leader, "lead", away)
    assert await scheduler.tick() == scheduler_module.MAX_SLEEP


def test_the_database_fixture_is_a_ledger(database: Database) -> None:
    assert database.dialect.name in ("sqlite", "postgresql")


# --- schedules that follow others


async def succeed(hopyard: Hopyard, job: dict[str, Any], state: State = State.SUCCEEDED) -> None:
    """Let a fired job run and end."""
    database = hopyard.client().database
    number = await workers.register(
        database, name="w", role="worker", queues=["site"], plugins={}, lease=15.0
    )
    (claim,) = await database.claim([str(job["id"])], number, 1)
    error = None if state is State.SUCCEEDED else "{}"
    await database.finish([Done(claim.id, claim.claim, state, None, error, None)], number)


async def test_a_follower_runs_each_time_that_its_leader_has_succeeded(hopyard: Hopyard) -> None:
    scheduler, due = Scheduler(hopyard), utcnow() - timedelta(seconds=1)
    await put(hopyard, Schedule("then", "site.tick", Rule(after="mine"), kwargs={"n": 2}), person="ada")
    await put(hopyard, mine(), due=due)
    await scheduler.tick()
    assert await jobs(hopyard, "then") == []
    (first,) = await jobs(hopyard)
    await succeed(hopyard, first)
    await scheduler.tick()
    await scheduler.tick()
    (job,) = await jobs(hopyard, "then")
    assert (moment(job["due"]), job["person"]) == (due, "ada")
    assert '{"n": 2}' in job["body"]
    assert await fired(hopyard, "then") == [(due, True)]


async def test_a_follower_does_not_run_for_a_job_that_died(hopyard: Hopyard) -> None:
    scheduler = Scheduler(hopyard)
    await put(hopyard, Schedule("then", "site.tick", Rule(after="mine")))
    await put(hopyard, mine(), due=utcnow() - timedelta(seconds=1))
    await scheduler.tick()
    (first,) = await jobs(hopyard)
    await succeed(hopyard, first, State.DEAD)
    await scheduler.tick()
    assert await jobs(hopyard, "then") == []


async def test_a_follower_starts_with_what_succeeds_after_it_was_stored(hopyard: Hopyard) -> None:
    scheduler = Scheduler(hopyard)
    await put(hopyard, mine(), due=utcnow() - timedelta(seconds=1))
    await scheduler.tick()
    (first,) = await jobs(hopyard)
    await succeed(hopyard, first)
    await put(hopyard, Schedule("then", "site.tick", Rule(after="mine")))
    await scheduler.tick()
    assert await jobs(hopyard, "then") == []


async def test_a_disabled_follower_rests(hopyard: Hopyard) -> None:
    scheduler = Scheduler(hopyard)
    await put(hopyard, Schedule("then", "site.tick", Rule(after="mine"), enabled=False))
    await put(hopyard, mine(), due=utcnow() - timedelta(seconds=1))
    await scheduler.tick()
    (first,) = await jobs(hopyard)
    await succeed(hopyard, first)
    await scheduler.tick()
    assert await jobs(hopyard, "then") == []


async def test_each_fire_is_looked_at_once_and_only_where_somebody_follows(hopyard: Hopyard) -> None:
    """Not all those of thirty days each second."""
    scheduler, database = Scheduler(hopyard), hopyard.client().database
    await put(hopyard, mine(), due=utcnow() - timedelta(seconds=1))
    await put(hopyard, replace(mine(), name="alone"), due=utcnow() - timedelta(seconds=1))
    await put(hopyard, Schedule("then", "site.tick", Rule(after="mine")))
    await scheduler.tick()

    async def pending() -> set[str]:
        return {
            row["schedule"]
            for row in await database.fetch("SELECT schedule FROM schedule_fire WHERE pending")
        }

    assert await pending() == {"mine", "alone"}
    (first,) = await jobs(hopyard)
    await succeed(hopyard, first)
    await scheduler.tick()
    assert await pending() == {"alone", "then"}
    assert len(await fired(hopyard, "then")) == 1
    explained = "EXPLAIN QUERY PLAN " if database.dialect.name == "sqlite" else "EXPLAIN "
    plan = " ".join(
        str([*row.values()] if hasattr(row, "values") else [*row])
        for row in await database.fetch(explained + store.ENDED.replace("$1", "200"))
    )
    assert "schedule_fire_pending" in plan


@pytest.mark.parametrize(
    "odd", [("rule", "{"), ("rule", '{"cron": "no cron at all"}'), ("kwargs", "["), ("misfire", "no word")]
)
async def test_a_schedule_that_cannot_be_read_stops_no_other(hopyard: Hopyard, odd: tuple[str, str]) -> None:
    """Whoever wrote it: an earlier release, a later one, or a hand."""
    database, due = hopyard.client().database, utcnow() - timedelta(seconds=1)
    await put(hopyard, replace(mine(), name="a.first"), due=due - timedelta(seconds=1))
    await put(hopyard, mine(), due=due)
    await database.execute(f"UPDATE schedule SET {odd[0]} = $1 WHERE name = 'a.first'", odd[1])
    scheduler = Scheduler(hopyard)
    await scheduler.tick()
    await scheduler.tick()
    assert len(await jobs(hopyard)) == 1
    async with database.transaction() as tx:
        assert "mine" in {one.schedule.name for one in await store.listed(tx)}


async def test_a_persons_schedule_without_a_zone_is_in_the_installations(
    tmp_path: Path, database_url: str
) -> None:
    made = load(tmp_path, database_url, extra='time_zone = "Asia/Tokyo"\n')
    await put(made, Schedule("mine", "site.tick", Rule(cron="0 8 * * *")))
    assert (await get(made, "mine")).schedule.rule == Rule(cron="0 8 * * *", zone="Asia/Tokyo")
    await put(made, Schedule("berlin", "site.tick", Rule(cron="0 8 * * *", zone="Europe/Berlin")))
    database = made.client().database
    async with database.transaction() as tx:
        await store.edit(tx, database.dialect, "berlin", rule=Rule(cron="0 9 * * *"))
    assert (await get(made, "berlin")).schedule.rule == Rule(cron="0 9 * * *", zone="Europe/Berlin")
    await made.close()
    current.set_instance(None)


async def test_schedules_that_wait_for_each_other_are_refused(hopyard: Hopyard) -> None:
    await put(hopyard, Schedule("a", "site.tick", Rule(after="b")))
    await put(hopyard, Schedule("b", "site.tick", Rule(after="c")))
    with pytest.raises(ScheduleError, match="c → a → b → c"):
        await put(hopyard, Schedule("c", "site.tick", Rule(after="a")))
