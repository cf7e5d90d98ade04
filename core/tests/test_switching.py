"""Disabling a plugin while processes run: it leaves as if it were not there, and nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hopyard import Plugin, PluginSettings, Queue, current, hookimpl, switching, task
from hopyard.app import Hopyard
from hopyard.cli import main
from hopyard.errors import PluginError, SwitchRefused, TransientError, UnknownPlugin, UnknownTask
from hopyard.ledger import explaining, switches, waiting
from hopyard.ledger.database import Database
from hopyard.ledger.values import utcnow
from hopyard.loading import Plugins, PluginState, load_plugins
from hopyard.monitor.health import CHECKS
from hopyard.schedule import store
from hopyard.schedule.scheduler import Scheduler
from hopyard.settings import Settings
from hopyard.specs import Message, Notifier, Rule, Schedule

HOPFILE = """
from hopyard import Plugin, PluginSettings, Queue, Rule, Schedule, hookimpl, task

@task("site.tick")
async def tick(n: int = 0) -> int: return n

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site")]
    @hookimpl
    def register_tasks(self): return [tick]
    @hookimpl
    def register_schedules(self):
        return [Schedule("site.hourly", "site.tick", Rule(every=3600.0), kwargs={"n": 1})]
"""
BY_ADA = {"one": "disabled by ada at 2026-01-01T00:00:00+00:00"}


@task("one.work", queue="one")
async def work() -> None: ...


@task("third.work", queue="one")
async def borrowed() -> None: ...


async def deliver(address: str, message: Message) -> None: ...


class One(Plugin[PluginSettings]):
    """Has a queue that others use."""

    calls: list[str]

    def __init__(self, name: str, settings: PluginSettings) -> None:
        super().__init__(name, settings)
        self.calls = []

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("one")]

    @hookimpl
    def register_tasks(self) -> Any:
        return [work]

    @hookimpl
    def register_notifiers(self) -> Any:
        return [Notifier("shelf", deliver)]

    @hookimpl
    def start_process(self, role: str) -> None:
        self.calls.append("start")

    @hookimpl
    def stop_process(self, role: str) -> None:
        self.calls.append("stop")


class Two(Plugin[PluginSettings]):
    """Requires it."""

    requires = ("one",)
    after = ("one",)


class Third(Plugin[PluginSettings]):
    """Has a task for its queue, without saying that it requires it."""

    after = ("one",)

    @hookimpl
    def register_tasks(self) -> Any:
        return [borrowed]


def plugins_of(config: dict[str, Any] | None = None) -> Plugins:
    settings = Settings.model_validate({"plugins": config or {}})
    return load_plugins(
        settings, role="worker", builtin={"one": One, "two": Two, "third": Third}, distributions=[]
    )


# --- in one process


@pytest.mark.parametrize("strict", [False, True])
def test_what_needs_a_disabled_plugin_rests_with_it_and_nothing_has_failed(strict: bool) -> None:
    plugins = plugins_of({"strict": strict, "one": {"required": True, "on_failure": "abort"}})
    before = [plugins.names, [*plugins.tasks], plugins.records]
    moved = plugins.switch(BY_ADA)
    assert (sorted(moved.out), moved.back) == (["one", "third", "two"], [])
    assert plugins.left_with("one") == ["third", "two"]
    records = {record.name: record for record in plugins.records}
    assert {record.state for record in records.values()} == {PluginState.DISABLED}
    assert records["one"].reason == BY_ADA["one"]
    assert records["two"].reason == f"it requires the plugin `one`: {BY_ADA['one']}"
    assert "one" in records["third"].reason
    assert BY_ADA["one"] in records["third"].reason
    assert plugins.ready
    assert plugins.withdrawn == frozenset()
    plugins.check()
    assert plugins.switch(BY_ADA) == ([], [])
    moved = plugins.switch({})
    assert (moved.out, moved.back) == ([], plugins.names)
    assert [plugins.names, [*plugins.tasks], plugins.records] == before


def test_a_plugin_that_is_disabled_itself_stays_out_when_the_one_that_it_requires_is_back() -> None:
    plugins = plugins_of()
    plugins.switch(BY_ADA)
    plugins.switch(BY_ADA | {"two": "disabled by bob"})
    assert plugins.switch({"two": "disabled by bob"}).back == ["one", "third"]
    assert plugins.record("two").reason == "disabled by bob"
    assert plugins.switch({}).back == ["two"]


def test_one_that_is_enabled_before_the_one_that_it_requires_says_for_whom_it_waits() -> None:
    plugins = plugins_of()
    plugins.switch({"two": "disabled by bob"})
    plugins.switch(BY_ADA | {"two": "disabled by bob"})
    assert plugins.record("two").reason == "disabled by bob"
    assert plugins.switch(BY_ADA) == ([], [])
    assert plugins.record("two").reason == f"it requires the plugin `one`: {BY_ADA['one']}"
    assert plugins.record("two").resting
    assert sorted(plugins.switch({}).back) == ["one", "third", "two"]


async def test_what_it_is_to_deliver_is_tried_again_later() -> None:
    plugins = plugins_of()
    message = Message("id", "ada", "It is here", "Come.")
    plugins.switch(BY_ADA)
    with pytest.raises(TransientError, match="plugin one is disabled by ada"):
        await plugins.notifiers["shelf"].deliver("shelf://", message)
    plugins.switch({})
    await plugins.notifiers["shelf"].deliver("shelf://", message)


def test_one_whose_tables_are_missing_is_disabled_rather_than_broken() -> None:
    plugins = plugins_of()
    plugins.withdraw("one", "its tables are behind", stage="migrations")
    assert plugins.withdrawn >= {"one"}
    plugins.switch(BY_ADA)
    assert plugins.record("one").reason == BY_ADA["one"]
    assert not plugins.awaiting("migrations")
    assert plugins.withdrawn == frozenset()
    plugins.switch({})
    assert "one" in plugins.names


def test_it_starts_once_and_ends_at_the_end_of_the_process_though_it_is_out() -> None:
    plugins = plugins_of()
    plugins.start_process("worker")
    one = plugins.get("one")
    assert isinstance(one, One)
    plugins.switch(BY_ADA)
    assert plugins.instance(One) is one, "jobs of it may run yet"
    with pytest.raises(PluginError, match="disabled by ada"):
        plugins.get("one")
    plugins.switch({})
    plugins.start_process("worker", ["one"])
    plugins.switch(BY_ADA)
    plugins.stop_process("worker")
    assert one.calls == ["start", "stop"]


# --- in the ledger


@pytest.fixture
async def hopyard(database_url: str, tmp_path: Path) -> AsyncIterator[Hopyard]:
    """An installation with one plugin; its broker is not there."""
    made = Hopyard.load(config=configured(tmp_path, database_url))
    yield made
    await made.close()
    current.set_instance(None)


def configured(folder: Path, database_url: str, more: str = "") -> Path:
    (folder / "hopfile.py").write_text(HOPFILE)
    file = folder / "hopyard.toml"
    file.write_text(
        f'broker_url = "redis://127.0.0.1:1/0"\ndatabase_url = "{database_url}"\n'
        f'data = "{folder / "data"}"\n[plugins]\nallow = ["site"]\n{more}'
    )
    return file


async def test_it_is_kept_once_with_who_did_it_first(database: Database) -> None:
    assert await switches.disable(database, "site", "ada")
    assert not await switches.disable(database, "site", "bob")
    found = (await switches.disabled(database))["site"]
    assert found.who == "ada"
    assert found.reason == f"disabled by ada at {found.at.isoformat(timespec='seconds')}"
    assert await switches.enable(database, "site")
    assert not await switches.enable(database, "site")
    assert await switches.disabled(database) == {}


async def test_a_process_that_starts_does_without_it(hopyard: Hopyard) -> None:
    await switches.disable(hopyard.client().database, "site", "ada")
    await hopyard.check_migrations()
    with pytest.raises(UnknownTask, match=r"`site.tick`: disabled by ada at"):
        hopyard.task("site.tick")
    await switches.enable(hopyard.client().database, "site")
    await hopyard.look_again(hopyard.client().database)
    assert hopyard.task("site.tick")


async def test_what_cannot_be_disabled_is_refused(hopyard: Hopyard) -> None:
    with pytest.raises(UnknownPlugin, match="did you mean `site`"):
        switching.check(hopyard, "sit")
    with pytest.raises(SwitchRefused, match="core's own"):
        switching.check(hopyard, "hopyard")
    switching.check(hopyard, "site")


async def test_what_the_settings_disable_is_theirs(database_url: str, tmp_path: Path) -> None:
    file = configured(tmp_path, database_url, "[plugins.site]\nenabled = false\n")
    made = Hopyard.load(config=file)
    with pytest.raises(SwitchRefused, match=r"`plugins.site.enabled` is false"):
        await switching.enable(made, made.client().database, "site")
    await made.close()
    current.set_instance(None)


async def test_no_schedule_of_it_fires_and_what_was_due_is_not_made_up_for(hopyard: Hopyard) -> None:
    """Neither the plugin's own nor a person's for a task of it."""
    database, scheduler = hopyard.client().database, Scheduler(hopyard)
    await scheduler.tick()
    rule = Rule(every=60.0, anchor=utcnow() - timedelta(seconds=30))
    async with database.transaction() as tx:
        await store.put(tx, database.dialect, Schedule("mine", "site.tick", rule))
        following = Schedule("follows", "site.tick", Rule(after="mine"))
        await store.put(tx, database.dialect, following)
        await tx.execute("UPDATE schedule SET next_due = $1", utcnow() - timedelta(seconds=1))
    await switches.disable(database, "site", "ada")
    await scheduler.tick()
    await scheduler.tick()
    assert not await database.fetch("SELECT 1 AS n FROM job_live")
    async with database.transaction() as tx:
        hourly, own = await store.get(tx, "site.hourly"), await store.get(tx, "mine")
    assert (hourly.schedule.enabled, hourly.next_due) == (False, None)
    assert own.next_due
    assert own.next_due > utcnow()
    await switches.enable(database, "site")
    await scheduler.tick()
    async with database.transaction() as tx:
        hourly = await store.get(tx, "site.hourly")
        await tx.execute("UPDATE schedule SET next_due = $1", utcnow() - timedelta(seconds=1))
    assert hourly.schedule.enabled
    assert hourly.next_due
    await scheduler.tick()
    found = await database.fetch("SELECT schedule FROM job_live ORDER BY schedule")
    assert [row["schedule"] for row in found] == ["follows", "mine", "site.hourly"]


async def test_a_job_of_it_says_why_it_waits_and_is_no_fault(hopyard: Hopyard) -> None:
    database = hopyard.client().database
    handle = await hopyard.task("site.tick").submit()
    await switching.disable(hopyard, database, "site", "ada")
    said = "plugin site was disabled by ada at"
    assert said in (await explaining.explain(database, handle.id))[0]
    await waiting.park(database, [handle.id], f"plugin `site` is disabled here: {said}")
    first, second = await explaining.explain(database, handle.id)
    assert "it is parked" in first
    assert "hopyard plugins enable site" in second
    (ledger,) = [check for check in CHECKS if check.name == "ledger"]
    assert (await ledger.run()).ok
    await switching.enable(hopyard, database, "site")
    assert not (await ledger.run()).ok, "nobody has unparked it yet, and nobody wants it parked"


# --- on the command line


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "hopyard.toml"), *words])


def test_as_people_type_it(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ada")
    configured(tmp_path, database_url)
    done = run(tmp_path, "plugins", "disable", "site")
    assert (done.exit_code, "site is disabled" in done.output) == (0, True), done.output
    assert "was disabled before" in run(tmp_path, "plugins", "disable", "site").output
    listed = json.loads(run(tmp_path, "plugins", "--json").stdout)
    (record,) = [one for one in listed if one["name"] == "site"]
    assert record["state"] == "disabled"
    assert record["reason"].startswith("disabled by ada at ")
    assert record["hint"] == "`hopyard plugins enable site` takes it back"
    checks = json.loads(run(tmp_path, "doctor", "--json").stdout)
    assert next(one["ok"] for one in checks if one["check"] == "plugin site")
    refused = run(tmp_path, "run", "site.tick")
    assert refused.exit_code != 0
    assert "disabled by ada" in refused.output
    assert "site is enabled" in run(tmp_path, "plugins", "enable", "site").output
    assert "was not disabled" in run(tmp_path, "plugins", "enable", "site").output
    for name, said in (("hopyard", "core's own"), ("sit", "did you mean `site`")):
        refused = run(tmp_path, "plugins", "disable", name)
        assert refused.exit_code != 0
        assert said in refused.output
    current.set_instance(None)
