"""What plugins build on: tables of their own, schedules, people, jobs, health, and settings within a task."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from engines import Lab
from hopyard import Plugin, PluginSettings, Rule, Schedule, State, health, jobs, people, schedules, storage
from hopyard.errors import PluginError, ScheduleError
from hopyard.testing import Hop

TABLE = "CREATE TABLE site_note (id text PRIMARY KEY, text text NOT NULL)"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def notes() -> list[str]:
    return [row["text"] for row in await storage.fetch("SELECT text FROM site_note ORDER BY text")]


async def test_rows_and_jobs_are_committed_together(lab: Lab) -> None:
    await storage.execute(TABLE)
    call = lab.hopyard.task("site.call")
    async with storage.transaction() as tx:
        assert await tx.execute("INSERT INTO site_note VALUES ($1, $2)", storage.new_id(), "one") == 1
        await tx.execute_many("INSERT INTO site_note VALUES ($1, $2)", [("2", "two"), ("3", "three")])
        job = await tx.submit(call.options(person="ada"), n=7)
        assert len(await tx.fetch("SELECT text FROM site_note")) == 3
    row = await lab.row(job.id)
    assert (row["state"], row["person"]) == (State.QUEUED, "ada")
    assert await notes() == ["one", "three", "two"]


async def test_what_raises_leaves_neither_rows_nor_jobs(lab: Lab) -> None:
    await storage.execute(TABLE)
    job: Any = None

    async def fails() -> None:
        nonlocal job
        async with storage.transaction() as tx:
            await tx.execute("INSERT INTO site_note VALUES ('1', 'one')")
            job = await tx.submit(lab.hopyard.task("site.call").options())
            raise KeyError("no")

    with pytest.raises(KeyError):
        await fails()
    assert await notes() == []
    assert await lab.row(job.id) == {}


async def test_a_job_of_a_transaction_runs(lab: Lab) -> None:
    async def call(job: Any) -> str:
        return "ran"

    lab.calls["call"] = call
    (await lab.worker()).fetch()
    async with storage.transaction() as tx:
        job = await tx.submit(lab.hopyard.task("site.call").options(id="a-name-of-mine"))
        again = await tx.submit(lab.hopyard.task("site.call").options(id="a-name-of-mine"))
    assert job.id == again.id
    assert (await lab.ends(job.id))["result"] == '"ran"'


async def test_both_databases_take_the_same_words(lab: Lab) -> None:
    d = storage.sql()
    (row,) = await storage.fetch(
        f"SELECT {d.now} AS now, {d.plus(d.now, '60')} AS later, 1 AS one WHERE CAST('b' AS text) "
        f"{d.texts('$1')}",
        storage.listed(["a", "b"]),
    )
    now, later = storage.moment(row["now"]), storage.moment(row["later"])
    assert now is not None
    assert later is not None
    assert round((later - now).total_seconds()) == 60


async def test_schedules_are_kept_for_people(lab: Lab) -> None:
    due = await schedules.put(
        Schedule("site.mine", "site.call", Rule(every=60), kwargs={"n": 1}), person="ada"
    )
    assert due is not None
    stored = await schedules.get("site.mine")
    assert (stored.person, stored.next_due, stored.source) == ("ada", due, "user")
    changed = await schedules.edit("site.mine", enabled=False)
    assert (changed.next_due, changed.schedule.enabled) == (None, False)
    await schedules.put(Schedule("other.one", "site.call", Rule(every=60)))
    await schedules.put(Schedule("site_x.one", "site.call", Rule(every=60)))
    assert [one.schedule.name for one in await schedules.listed("site")] == ["site.mine"]
    assert await schedules.existing(["site.mine", "site.none"]) == {"site.mine"}
    await schedules.delete("site.mine")
    await schedules.delete("site.mine", missing_ok=True)
    with pytest.raises(ScheduleError, match=r"no schedule `site\.mine`"):
        await schedules.delete("site.mine")


async def test_a_schedule_changes_with_its_transaction(lab: Lab) -> None:
    async def fails() -> None:
        async with storage.transaction() as tx:
            await schedules.put(Schedule("site.mine", "site.call", Rule(every=60)), tx=tx)
            assert (await schedules.get("site.mine", tx=tx)).schedule.enabled
            raise KeyError("no")

    with pytest.raises(KeyError):
        await fails()
    assert await schedules.existing(["site.mine"]) == set()


def test_times_to_come_are_shown_without_storing() -> None:
    found = schedules.preview(Rule(cron="0 9 * * *", zone="UTC"), 2, after=NOON)
    assert found == [datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 3, 9, tzinfo=UTC)]


async def test_how_jobs_ended_is_told_for_many_at_once(lab: Lab) -> None:
    async def call(job: Any) -> str:
        return "well"

    async def bad(job: Any) -> None:
        raise ValueError("broken")

    lab.calls.update(call=call, bad=bad)
    waiting = (await lab.hopyard.task("site.call").options(delay=3600).submit()).id
    assert await jobs.queue_depths() == {"site": 1}
    (await lab.worker()).fetch()
    first, second = await lab.submit(), await lab.submit(name="bad")
    await lab.ends(first)
    await lab.ends(second, State.DEAD)
    found = await jobs.ended([first, second, waiting])
    assert {id_: one.state for id_, one in found.items()} == {first: State.SUCCEEDED, second: State.DEAD}
    assert (found[first].result, "broken" in (found[second].error or "")) == ('"well"', True)


async def test_people_are_told_and_see_what_they_were_told(lab: Lab) -> None:
    assert people.person("ada").zone == lab.hopyard.settings.time_zone
    id_ = await people.notify("ada", "A title", "A text")
    (told,) = await people.inbox("ada")
    assert (told["id"], told["title"], told["deliveries"]) == (id_, "A title", [])


async def test_all_health_checks_are_run(lab: Lab) -> None:
    found = await health.check_all()
    assert len(found) == health.count() > 0
    assert "ledger" in {one.name for one in found}


class Other(Plugin[PluginSettings]):
    """Not enabled."""


async def test_a_task_finds_its_plugins_settings(lab: Lab) -> None:
    made = lab.plugin("other", Other)
    assert Other.current() is made
    assert Other.current().settings == PluginSettings()
    lab.hopyard.plugins.withdraw("other", "its tables are missing")
    lab.hopyard.plugins._loaded.classes["other"] = Other
    with pytest.raises(PluginError, match="plugin other is misconfigured: its tables are missing"):
        Other.current()


def test_the_people_of_the_settings_are_known(tmp_path: Path) -> None:
    with Hop(folder=tmp_path, settings={"people.bob": {}, "people.ada": {"zone": "Europe/Oslo"}}):
        assert people.known() == ["ada", "bob"]
