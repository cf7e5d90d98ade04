"""`hopyard.testing.Hop`: jobs in the test's process, faults at chosen moments, schedules ahead of time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hopyard import (
    Effect,
    Hopyard,
    Job,
    Plugin,
    PluginSettings,
    Queue,
    Reconciled,
    RetryPolicy,
    Rule,
    Schedule,
    Unique,
    current,
    hookimpl,
    notify,
    schedules,
    task,
)
from hopyard.errors import (
    ConfigError,
    HopyardError,
    JobCancelled,
    JobFailed,
    PluginError,
    SpecError,
    UnknownTask,
)
from hopyard.testing import CancelAfter, DieAfter, FakeModel, Fault, Hop, LoseLease, TimeOutAfter

SENT: list[str] = []


class WeatherSettings(PluginSettings):
    city: str = "Oslo"


@task("weather.refresh")
async def refresh(job: Job, city: str = "", pages: int = 3) -> str:
    job.log.info("refreshing %s", city)
    for page in range(job.checkpoint.get("page", 0), pages):
        job.progress(page, pages, f"page {page}")
        await job.save(page=page + 1)
    return city or Weather.current().settings.city


@task("weather.plain", retry=RetryPolicy(max_retries=2))
def plain(job: Job, failures: int = 0) -> int:
    for page in range(job.checkpoint.get("page", 0), 3):
        job.sync.save(page=page + 1)
    if job.attempt <= failures:
        raise ConnectionError("no answer")
    return job.attempt


async def send(to: str) -> str:
    SENT.append(to)
    return f"sent to {to}"


@task("weather.mail")
async def mail(job: Job, to: str) -> str:
    return await job.effect("mail", send, to=to)


@task("weather.squares")
async def squares(numbers: list[int]) -> list[int]:
    handles = [await square.submit(number) for number in numbers]
    return [await handle.result() for handle in handles]


@task("weather.square", pool="process")
def square(number: int) -> int:
    return number * number


@task("weather.endless")
async def endless() -> None:
    await endless.submit()


@task("weather.hang")
async def hang() -> None:
    await asyncio.sleep(600)


@task("weather.countdown")
async def countdown(n: int) -> int:
    return 0 if n == 0 else 1 + await (await countdown.submit(n - 1)).result()


@task("weather.tell")
async def tell(person: str) -> None:
    await notify(person, "Rain", "Take a coat.")


class Weather(Plugin[WeatherSettings]):
    found: Reconciled | None = None

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("weather")]

    @hookimpl
    def register_tasks(self) -> Any:
        return [refresh, plain, mail, squares, square, endless, hang, countdown, tell]

    @hookimpl
    def register_schedules(self) -> Any:
        return [Schedule("weather.daily", "weather.refresh", Rule(cron="0 8 * * *"), kwargs={"city": "Rome"})]

    @hookimpl
    def reconcile_effect(self, effect: Effect) -> Reconciled | None:
        return self.found


SETTINGS = {"time_zone": "Europe/Berlin", "people.alice": {}, "plugins.weather.settings.city": "Bergen"}


@pytest.fixture
def hop(tmp_path: Path) -> Iterator[Hop]:
    SENT.clear()
    with Hop({"weather": Weather}, folder=tmp_path / "data", settings=SETTINGS) as made:
        yield made


def test_a_job_runs_with_all_that_it_leaves(hop: Hop) -> None:
    outcome = hop.run(refresh, city="Oslo")
    assert outcome.ok
    assert outcome.result() == "Oslo"
    assert outcome.log == ["INFO refreshing Oslo"]
    assert outcome.progress == [(0.0, 3.0, "page 0"), (1.0, 3.0, "page 1"), (2.0, 3.0, "page 2")]
    assert [saved["page"] for saved in outcome.saved] == [1, 2, 3]
    assert outcome.checkpoint == {"page": 3}
    assert [event.kind for event in outcome.events] == [
        "sent",
        "started",
        *["progress"] * 3,
        "succeeded",
    ]
    assert hop.run("weather.refresh").result() == "Bergen"
    assert hop.run(refresh.options(person="alice", priority=9), "Rome").value == "Rome"


def test_the_process_has_its_own_hopyard_back_afterwards(tmp_path: Path) -> None:
    before = current.peek()
    with Hop({"weather": Weather}, folder=tmp_path / "data") as hop:
        assert Hopyard.current() is hop.hopyard
        assert hop.plugin("weather").settings == WeatherSettings()
    assert current.peek() is before


def test_children_run_and_what_asks_for_a_process_runs_here(hop: Hop) -> None:
    assert hop.run(squares, [1, 2, 3]).value == [1, 4, 9]
    assert [job["state"] for job in hop.jobs("weather.square")] == ["succeeded"] * 3


@pytest.mark.parametrize("name", ["refresh", "plain"])
@pytest.mark.parametrize("save", [1, 2, 3])
def test_a_death_after_a_checkpoint_goes_on_there(hop: Hop, name: str, save: int) -> None:
    hop.inject(DieAfter(save=save))
    outcome = hop.run(f"weather.{name}")
    assert (outcome.state, outcome.attempt) == ("succeeded", 2)
    assert [saved["page"] for saved in outcome.saved] == [1, 2, 3]
    assert outcome.attempts[0]["outcome"] == "lost"


def test_the_third_death_ends_the_job(hop: Hop) -> None:
    for _ in range(3):
        hop.inject(DieAfter(save=1))
    outcome = hop.run(refresh, pages=9)
    assert (outcome.state, outcome.attempt) == ("dead", 3)
    with pytest.raises(JobFailed, match="died 3 times"):
        outcome.result()


@pytest.mark.parametrize("name", ["refresh", "plain"])
def test_without_its_lease_an_attempt_writes_no_more(hop: Hop, name: str) -> None:
    hop.inject(LoseLease(save=2))
    outcome = hop.run(f"weather.{name}")
    assert (outcome.state, outcome.attempt) == ("succeeded", 2)
    assert [saved["page"] for saved in outcome.saved] == [1, 2, 3]


@pytest.mark.parametrize(("name", "fault"), [("refresh", "save"), ("refresh", "progress"), ("plain", "save")])
def test_a_cancel_ends_it(hop: Hop, name: str, fault: str) -> None:
    hop.inject(CancelAfter(save=int(fault == "save"), progress=int(fault == "progress")))
    outcome = hop.run(f"weather.{name}")
    assert outcome.state == "cancelled"
    with pytest.raises(JobCancelled):
        outcome.result()


@pytest.mark.parametrize("name", ["refresh", "plain"])
def test_its_time_limit_ends_an_attempt(hop: Hop, name: str) -> None:
    hop.inject(TimeOutAfter(save=1))
    outcome = hop.run(f"weather.{name}")
    assert (outcome.state, outcome.attempt) == ("succeeded", 2)
    assert outcome.attempts[0]["kind"] == "TimeLimitExceeded"


def test_retries_do_not_wait(hop: Hop) -> None:
    outcome = hop.run(plain, failures=1)
    assert (outcome.value, outcome.attempts[0]["kind"]) == (2, "ConnectionError")
    dead = hop.run(plain, failures=9)
    assert (dead.state, dead.attempt) == ("dead", 3)
    assert dead.error is not None
    assert dead.error["category"] == "transient"


def test_an_effect_whose_worker_died_is_asked_about(hop: Hop) -> None:
    hop.inject(DieAfter(effect="mail"))
    unknown = hop.run(mail, to="ada")
    assert (unknown.state, unknown.effects["mail"]["state"], SENT) == ("dead", "unknown", ["ada"])
    plugin: Any = hop.plugin("weather")
    plugin.found = Reconciled(True, "sent to ada")
    hop.inject(DieAfter(effect="mail"))
    assert hop.run(mail, to="ada").value == "sent to ada"
    assert SENT == ["ada", "ada"]


def test_a_fault_that_never_came_fails_the_test(hop: Hop) -> None:
    hop.inject(DieAfter(save=99))
    with pytest.raises(HopyardError, match="was over before this could happen"):
        hop.run(refresh)


@pytest.mark.parametrize(
    "moments", [{}, {"save": 1, "progress": 1}, {"save": -1}, {"save": True}, {"effect": 5}]
)
def test_a_fault_has_one_moment(moments: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        DieAfter(**moments)


def test_what_is_no_fault_is_refused(hop: Hop) -> None:
    with pytest.raises(SpecError):
        hop.inject("die")  # type: ignore[arg-type]
    assert isinstance(DieAfter(save=1), Fault)


def test_schedules_ahead_of_time(hop: Hop) -> None:
    due = hop.due_between("weather.daily", datetime(2026, 3, 28), datetime(2026, 3, 30, 12))
    assert [str(one) for one in due] == [
        "2026-03-28 08:00:00+01:00",
        "2026-03-29 08:00:00+02:00",
        "2026-03-30 08:00:00+02:00",
    ]
    outcome = hop.fire("weather.daily", datetime(2026, 3, 29, 6, tzinfo=UTC))
    assert outcome.value == "Rome"
    (job,) = hop.jobs("weather.refresh")
    assert (job["schedule"], job["due"]) == ("weather.daily", "2026-03-29T06:00:00+00:00")
    with pytest.raises(SpecError, match=r"weather\.daily"):
        hop.fire("weather.dally")
    with pytest.raises(SpecError, match="fire: due: found 'noon', expected a datetime"):
        hop.fire("weather.daily", "noon")  # type: ignore[arg-type]


def test_times_that_are_none_are_refused(hop: Hop) -> None:
    day = datetime(2026, 3, 28)
    with pytest.raises(SpecError, match="start: found 'a', expected a datetime"):
        hop.due_between("weather.daily", "a", "b")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="end: found 5, expected a datetime"):
        hop.due_between("weather.daily", day, 5)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"end: .* not before the start"):
        hop.due_between("weather.daily", day, day.replace(tzinfo=UTC) - timedelta(days=1))
    assert hop.due_between("weather.daily", day, day) == []


def test_jobs_of_an_unknown_task_are_no_empty_list(hop: Hop) -> None:
    assert hop.jobs("weather.refresh") == []
    with pytest.raises(UnknownTask, match=r"did you mean `weather\.refresh`"):
        hop.jobs("weather.refrsh")


def test_time_passes(hop: Hop) -> None:
    handle = refresh.options(delay=60).sync.submit(city="later")
    hop.drain()
    assert hop.outcome(handle).state == "scheduled"
    hop.pass_time(61)
    assert hop.outcome(handle).value == "later"
    hop.pass_time(86_400)
    assert "weather.daily" in [job["schedule"] for job in hop.jobs()]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    """Makes installations with a shop that has one schedule."""
    made: list[Hop] = []

    def shop(rule: Rule, **options: Any) -> Hop:
        @task("shop.count")
        async def count() -> None: ...

        class Shop(Plugin[PluginSettings]):
            @hookimpl
            def register_queues(self) -> Any:
                return [Queue("shop")]

            @hookimpl
            def register_tasks(self) -> Any:
                return [count]

            @hookimpl
            def register_schedules(self) -> Any:
                return [Schedule("shop.daily", "shop.count", rule, **options)]

        made.append(Hop({"shop": Shop}, folder=tmp_path / f"shop{len(made)}"))
        return made[-1]

    yield shop
    for one in reversed(made):
        one.close()


def test_a_schedule_fires_for_the_time_that_passes(make: Any) -> None:
    hop = make(Rule(cron="0 8 * * *"))
    hop.pass_time(2 * 86_400)
    assert len(hop.jobs()) == 1, "once for the times that were missed"
    hop.pass_time(86_400)
    hop.pass_time(86_400)
    dues = [datetime.fromisoformat(job["due"]) for job in hop.jobs()]
    assert [later - sooner for sooner, later in pairwise(dues)] == [timedelta(days=1)] * 2


def test_each_step_of_time_fires_what_it_passes(make: Any) -> None:
    hop = make(Rule(every=3600))
    fired = []
    for seconds in (3700, 3700, 3700, 7400):
        hop.pass_time(seconds)
        fired.append(len(hop.jobs()))
    assert fired == [1, 2, 3, 4]


def test_all_missed_times_fire_if_the_schedule_says_so(make: Any) -> None:
    hop = make(Rule(every=3600), misfire="all", overlap="allow")
    hop.pass_time(5 * 3600)
    assert len(hop.jobs()) == 5


def test_steps_of_time_add_up(make: Any) -> None:
    hop = make(Rule(every=86_400, anchor=datetime.now(UTC) + timedelta(hours=10)))
    handle = hop.hopyard.task("shop.count").options(delay=90).sync.submit()
    hop.pass_time(60)
    assert hop.outcome(handle).state == "scheduled"
    hop.pass_time(60)
    assert hop.outcome(handle).ok
    for hours, jobs in [(5, 1), (4, 1), (2, 2)]:
        hop.pass_time(hours * 3600)
        assert len(hop.jobs()) == jobs


async def test_a_schedule_that_a_test_stores_counts_from_there(make: Any) -> None:
    hop = make(Rule(at=datetime.now(UTC) + timedelta(days=300)))
    hop.pass_time(86_400)
    await schedules.put(Schedule("ada.hourly", "shop.count", Rule(every=3600, anchor=datetime.now(UTC))))
    hop.pass_time(1800)
    assert hop.jobs() == []
    hop.pass_time(1900)
    assert len(hop.jobs()) == 1


def test_eager_calls_are_over_when_they_return(hop: Hop) -> None:
    with hop.eager():
        assert refresh.sync.submit(city="now").sync.result(timeout=0) == "now"
        assert refresh.delay(city="Celery").get(timeout=5) == "Celery"
        assert plain.options(unique=Unique("one")).sync.submit().sync.result(timeout=0) == 1
        with pytest.raises(JobFailed):
            plain.sync.submit(failures=9).sync.result(timeout=0)
    handle = refresh.sync.submit()
    assert hop.outcome(handle).state == "queued"


async def test_within_a_test_that_is_a_coroutine(hop: Hop) -> None:
    assert hop.run(refresh, city="Oslo").ok
    with hop.eager():
        assert await (await refresh.submit(city="Oslo")).result(timeout=0) == "Oslo"
    await asyncio.gather(*(square.submit(n) for n in range(5)))
    hop.drain()
    assert [job["state"] for job in hop.jobs("weather.square")] == ["succeeded"] * 5


def test_an_eager_job_that_submits_and_waits_for_another_is_over_too(hop: Hop) -> None:
    with hop.eager():
        assert countdown.sync.submit(3).sync.result(timeout=0) == 3
        with hop.eager():
            pass
        assert square.sync.submit(3).sync.result(timeout=0) == 9, "the outer block is eager still"


@pytest.mark.parametrize("how", ["run", "drain", "eager", "pass_time"])
def test_what_hangs_is_named_and_left_behind(hop: Hop, how: str) -> None:
    hop.hopyard.within = 0.2

    def hangs() -> None:
        if how == "run":
            hop.run(hang)
        elif how == "eager":
            with hop.eager():
                hang.sync.submit()
        else:
            hang.sync.submit()
            hop.drain() if how == "drain" else hop.pass_time(1)

    with pytest.raises(HopyardError, match=r"not over within 0\.2 s: weather\.hang"):
        hangs()
    hop.hopyard.within = 60
    assert hop.run(square, 3).value == 9


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300, True, "5", None])
def test_time_passes_in_numbers_of_seconds(hop: Hop, seconds: Any) -> None:
    with pytest.raises(SpecError, match="pass_time"):
        hop.pass_time(seconds)


def test_two_faults_of_one_moment_happen_one_after_the_other(hop: Hop) -> None:
    hop.inject(LoseLease(save=1))
    hop.inject(LoseLease(save=1))
    assert hop.run(refresh, pages=9).attempt == 3


def test_what_is_no_task_is_refused(hop: Hop) -> None:
    for odd in (None, 3, refresh.function):
        with pytest.raises(SpecError, match="task"):
            hop.run(odd)  # type: ignore[call-overload]


def test_a_fault_that_nothing_was_run_for_fails_the_test(tmp_path: Path) -> None:
    with (
        pytest.raises(HopyardError, match="no job was run"),
        Hop({"weather": Weather}, folder=tmp_path / "data") as hop,
    ):
        hop.inject(DieAfter(save=1))


def test_a_real_worker_and_faults_do_not_go_together(hop: Hop) -> None:
    with hop.worker(), pytest.raises(HopyardError, match="jobs of `run` alone"):
        hop.inject(DieAfter(save=1))
    hop.inject(DieAfter(save=1))
    with pytest.raises(HopyardError, match="jobs of `run` alone"), hop.worker():
        pass
    assert hop.run(refresh).attempt == 2


def test_a_generator_is_no_task() -> None:
    def pages() -> Iterator[int]:
        yield 1

    async def lines() -> AsyncIterator[int]:
        yield 1

    for function in (pages, lines):
        told = rf"task `shop\.count`: .*`{function.__name__}`.* without `yield`"
        with pytest.raises(SpecError, match=told):
            task("shop.count")(function)


def test_the_order_in_which_installations_are_closed_does_not_matter(tmp_path: Path) -> None:
    with Hop({"weather": Weather}, folder=tmp_path / "outer") as outer:
        first = Hop({"weather": Weather}, folder=tmp_path / "first")
        second = Hop({"weather": Weather}, folder=tmp_path / "second")
        first.close()
        first.close()
        assert current.peek() is second.hopyard
        with pytest.raises(HopyardError, match="closed"):
            first.jobs()
        second.close()
        assert current.peek() is outer.hopyard


def test_what_people_are_told(hop: Hop) -> None:
    hop.run(tell, "alice")
    assert [(one["person"], one["title"], one["body"]) for one in hop.notifications] == [
        ("alice", "Rain", "Take a coat.")
    ]


def test_a_job_that_submits_itself_for_ever_ends_the_test(hop: Hop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopyard.testing._worker.MOST_JOBS", 20)
    with pytest.raises(HopyardError, match="is there an end"):
        hop.run(endless)


def test_a_real_worker_and_broker(hop: Hop) -> None:
    with hop.worker():
        assert refresh.sync.submit(city="Oslo").sync.result(timeout=30) == "Oslo"
        with pytest.raises(HopyardError, match="a worker runs the jobs"):
            hop.run(refresh)
    assert hop.run(refresh, city="Rome").value == "Rome"
    ending = [one.name for one in threading.enumerate() if one.name == "hopyard-ending"]
    assert ending == [], "the worker's end would be that of the test's process"


def test_what_cannot_be_loaded_is_refused_with_the_reason(tmp_path: Path) -> None:
    class Broken(Plugin[WeatherSettings]):
        @hookimpl
        def register_queues(self) -> Any:
            return [Queue("mail")]

    before = current.peek()
    with pytest.raises(PluginError, match="mail"):
        Hop({"weather": Broken}, folder=tmp_path / "a")
    with pytest.raises(PluginError, match="entry point"):
        Hop(Broken, folder=tmp_path / "b")
    with pytest.raises(SpecError):
        Hop(5, folder=tmp_path / "c")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="time_zone"):
        Hop({"weather": Weather}, folder=tmp_path / "d", settings={"time_zone": "Mars/Base"})
    with pytest.raises(PluginError, match="no installed package"):
        Hop("nowhere", folder=tmp_path / "e")
    with pytest.raises(PluginError, match="disabled"):
        Hop({"weather": Weather}, folder=tmp_path / "f", settings={"plugins.weather.enabled": False})
    with pytest.raises(SpecError, match="Plugin class"):
        Hop({"weather": "Weather"}, folder=tmp_path / "g")  # type: ignore[dict-item]
    with pytest.raises(SpecError, match="another name"):
        Hop({"Weather": Weather}, folder=tmp_path / "h")
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", str(tmp_path)):
        with pytest.raises(SpecError, match="folder"):
            Hop({"weather": Weather}, folder=folder)  # type: ignore[arg-type]
    assert current.peek() is before


def test_a_plugin_is_tested_under_the_name_that_a_hopfile_has(tmp_path: Path) -> None:
    @task("site.bake")
    def bake(cakes: int) -> int:
        return cakes

    class Shop(Plugin[PluginSettings]):
        @hookimpl
        def register_tasks(self) -> list[Any]:
            return [bake]

    with Hop({"site": Shop}, folder=tmp_path) as hop:
        assert hop.run(bake, cakes=2).value == 2


@pytest.mark.parametrize("key", ["database_url", "broker_url"])
def test_no_database_of_anybody_elses_is_touched(tmp_path: Path, key: str) -> None:
    theirs = tmp_path / "theirs.db"
    theirs.write_text("precious")
    url = f"sqlite:///{theirs}" if key == "database_url" else "redis://localhost:1/0"
    with pytest.raises(SpecError, match="a new file in"):
        Hop({"weather": Weather}, folder=tmp_path / "data", settings={key: url})
    assert theirs.read_text() == "precious"


def test_a_model_that_answers_as_it_was_told() -> None:
    import json
    from urllib.request import Request, urlopen

    def ask(model: FakeModel) -> Any:
        request = Request(
            f"{model.url}/chat/completions",
            json.dumps({"n": 1}).encode(),
            {"content-type": "application/json"},
        )
        with urlopen(request) as answer:
            return json.load(answer)["choices"][0]["message"]

    with FakeModel() as model:
        model.calls(("weather__refresh", {"city": "Oslo"}))
        model.says("It is sunny.")
        assert ask(model)["tool_calls"][0]["function"] == {
            "name": "weather__refresh",
            "arguments": '{"city": "Oslo"}',
        }
        assert [ask(model)["content"], ask(model)["content"]] == ["It is sunny.", "ready"]
        assert model.requests == [{"n": 1}] * 3


def test_importing_hopyard_loads_none_of_it() -> None:
    code = "import hopyard, sys; assert not [m for m in sys.modules if m.startswith('hopyard.testing')]"
    subprocess.run([sys.executable, "-c", code], check=True)
