"""What is wrong with a plugin's values, types and hooks shows when it is loaded, and ends nobody else."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hopyard import Plugin, PluginSettings, Rule, Schedule, hookimpl, task
from hopyard.errors import ConfigError, PluginError
from hopyard.hookspecs import hookspec
from hopyard.loading import Plugins, PluginState, load_plugins
from hopyard.settings import Settings
from plugin_files import GOOD, Install
from pydantic import BaseModel, SecretBytes, SecretStr

Load = Callable[..., Plugins]


def plugin(name: str, body: str, *, head: str = "") -> str:
    """Return the code of a plugin with one task, whose function is `body`."""
    return (
        f"{head}\n{body}\nclass {name.capitalize()}(Plugin[PluginSettings]):\n"
        "    @hookimpl\n    def register_tasks(self):\n        return [made]\n"
    )


# name: (code of the task `made`, what the reason must say)
UNFIT = {
    "unresolved": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from decimal import Decimal\n"
        "@task('unresolved.pay', tool=True)\nasync def made(amount: 'Decimal'): ...",
        "name 'Decimal' is not defined",
    ),
    "result": (
        "@task('result.pay')\ndef made() -> 'Nowhere': ...",
        "name 'Nowhere' is not defined",
    ),
    "strange": ("class It: ...\n@task('strange.do')\ndef made(it: It): ...", "It"),
    "schemaless": (
        "from collections.abc import Callable\n"
        "@task('schemaless.do')\ndef made(call: Callable[[], int]): ...",
        "schema",
    ),
    "raising": ("@task('raising.do')\ndef made(a: '1 / 0'): ...", "ZeroDivisionError"),
    "leaving": (
        "import sys\n@task('leaving.do')\ndef made(a: 'sys.exit(3)'): ...",
        "SystemExit",
    ),
    "starred": ("@task('starred.do')\ndef made(*args: int): ...", "`args` cannot be given by name"),
    "kwargs": ("@task('kwargs.do')\ndef made(**more: int): ...", "`more` cannot be given by name"),
    "positional": ("@task('positional.do')\ndef made(a: int, /): ...", "`a` cannot be given by name"),
    "twojobs": (
        "from hopyard import Job\n@task('twojobs.do')\ndef made(a: Job, b: Job): ...",
        "types cannot be used",
    ),
    "secret": (
        "from pydantic import SecretStr\n@task('secret.do')\ndef made(password: SecretStr): ...",
        "would be stored as asterisks",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_types_that_cannot_be_used_quarantine_their_plugin(
    name: str, install: Install, load_installed: Load
) -> None:
    code, reason = UNFIT[name]
    install("good", GOOD)
    install(name, plugin(name, code))
    plugins = load_installed()
    assert plugins.names == ["good"]
    record = plugins.record(name)
    assert (record.state, record.stage) == (PluginState.QUARANTINED, "types"), record
    assert reason in record.reason
    assert f"{name}." in record.reason
    assert record.hint


class Account(BaseModel):
    name: str
    key: SecretBytes


@pytest.mark.parametrize(
    "annotation",
    [SecretStr, SecretBytes, list[SecretStr], dict[str, Account | None], Account, SecretStr | int],
)
@pytest.mark.parametrize("where", ["argument", "result"])
def test_secrets_anywhere_in_a_tasks_types_are_refused(annotation: Any, where: str) -> None:
    def function(value: Any) -> Any: ...

    function.__annotations__ = {"value" if where == "argument" else "return": annotation}
    with pytest.raises(PluginError, match="asterisks") as refused:
        task("site.keep")(function).resolve()
    assert "reference" in refused.value.hint


def of(*tasks: Any, **attributes: Any) -> type[Plugin[Any]]:
    """Return a plugin class with these tasks."""

    class Made(Plugin[PluginSettings]):
        @hookimpl
        def register_tasks(self) -> Any:
            return list(tasks)

    for name, value in attributes.items():
        setattr(Made, name, value)
    return Made


def load(settings: dict[str, Any] | None = None, **plugins: type[Plugin[Any]]) -> Plugins:
    return load_plugins(
        Settings.model_validate(settings or {}), role="cli", builtin=plugins, distributions=[], time_limit=0.5
    )


@task("a.b.c", tool=True)
def dotted() -> None: ...


@task("a.b__c", tool=True)
def underscored() -> None: ...


@task("a.work")
def work(n: int = 1, city: str = "Oslo") -> None: ...


def test_two_tools_of_one_name_to_a_model_quarantine_their_plugin() -> None:
    plugins = load(a=of(dotted, underscored), b=of())
    assert plugins.names == ["b"]
    assert "`a.b.c` and `a.b__c` are both `a__b__c`" in plugins.record("a").reason


def scheduling(*schedules: Callable[[], Schedule]) -> type[Plugin[Any]]:
    class Made(of(work)):  # type: ignore[misc]
        @hookimpl
        def register_schedules(self) -> Any:
            return [make() for make in schedules]

    return Made


def test_a_rule_after_another_schedule_is_allowed() -> None:
    plugins = load(
        a=scheduling(
            lambda: Schedule("a.first", "a.work", Rule(every=60)),
            lambda: Schedule("a.then", "a.work", Rule(after="a.first")),
        )
    )
    assert plugins.schedules["a.then"].rule == Rule(after="a.first", zone="UTC")
    assert plugins.warnings == []


def test_rules_without_a_zone_are_in_the_installations() -> None:
    plugins = load(
        {
            "time_zone": "Europe/Berlin",
            "schedules": {
                "a.mine": {"task": "a.work", "cron": "0 9 * * *"},
                "a.tokyo": {"cron": "0 10 * * *"},
            },
        },
        a=scheduling(
            lambda: Schedule("a.daily", "a.work", Rule(cron="0 8 * * *")),
            lambda: Schedule("a.tokyo", "a.work", Rule(cron="0 8 * * *", zone="Asia/Tokyo")),
            lambda: Schedule("a.every", "a.work", Rule(every=5, anchor=datetime(2026, 1, 1))),
        ),
    )
    rules = {name: schedule.rule for name, schedule in plugins.schedules.items()}
    assert rules["a.daily"] == Rule(cron="0 8 * * *", zone="Europe/Berlin")
    assert rules["a.mine"] == Rule(cron="0 9 * * *", zone="Europe/Berlin")
    assert rules["a.tokyo"] == Rule(cron="0 10 * * *", zone="Asia/Tokyo")
    assert rules["a.every"].anchor == datetime(2025, 12, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Schedule("a.x", "a.work", Rule(after="a.x")), "not itself"),
        (lambda: Schedule("a.x", "a.work", Rule(rrule="FREQ=YEARLY;BYEASTER=0")), "BYEASTER"),
        (lambda: Schedule("a.x", "a.work", Rule(every=60), {"n": "many"}), "n: "),
        (lambda: Schedule("a.x", "a.work", Rule(every=60), {"m": 1}), "m: "),
        (lambda: Schedule("a.x", "a.work", Rule(every=60), {"n": float("nan")}), "no JSON form"),
        (lambda: Schedule("a.x", "a.work", Rule(every=60), misfire="never"), "misfire"),  # type: ignore[arg-type]
        (lambda: Schedule("a.x", "a.work", "daily"), "expected a Rule"),  # type: ignore[arg-type]
    ],
)
def test_a_schedule_that_is_none_quarantines_its_plugin(make: Callable[[], Schedule], reason: str) -> None:
    plugins = load(a=scheduling(make), b=of())
    assert plugins.names == ["b"]
    assert plugins.record("a").stage == "register_schedules"
    assert reason in plugins.record("a").reason


def test_schedules_that_never_fire_are_told_and_refuse_nothing() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    plugins = load(
        {"schedules": {"a.ended": {"task": "a.work", "rrule": "FREQ=DAILY;UNTIL=20200101T000000Z"}}},
        a=scheduling(
            lambda: Schedule("a.counted", "a.work", Rule(rrule="FREQ=DAILY;COUNT=3", anchor=past)),
            lambda: Schedule("a.once", "a.work", Rule(at=past)),
            lambda: Schedule("a.lost", "a.work", Rule(after="a.oncee")),
            lambda: Schedule("a.one", "a.work", Rule(after="a.two")),
            lambda: Schedule("a.two", "a.work", Rule(after="a.one")),
            lambda: Schedule("a.off", "a.work", Rule(at=past), enabled=False),
            lambda: Schedule("a.fine", "a.work", Rule(every=60)),
        ),
    )
    told = {fault.key: fault for fault in plugins.warnings}
    assert set(told) == {f'schedules."a.{n}"' for n in ("ended", "counted", "once", "lost", "one", "two")}
    assert "passed" in told['schedules."a.counted"'].found
    assert told['schedules."a.lost"'].nearest == "a.once"
    assert "a.one → a.two → a.one" in told['schedules."a.one"'].found


@pytest.mark.parametrize(
    ("entry", "key", "expected"),
    [
        ({"task": "a.work", "every": 60, "kwargs": {"n": "many"}}, 'schedules."a.x".kwargs', "n: "),
        ({"task": "a.work", "every": 60, "kwargs": {"m": 1}}, 'schedules."a.x".kwargs', "m: "),
        ({"task": "a.work", "after": "a.x"}, 'schedules."a.x"', "not itself"),
        ({"task": "a.work", "rrule": "FREQ=DAILY;COUNT=3"}, 'schedules."a.x"', "COUNT needs an anchor"),
        ({"task": "a.work", "rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, 'schedules."a.x"', "never falls"),
    ],
)
def test_a_schedule_of_the_settings_that_is_none_is_a_fault(
    entry: dict[str, Any], key: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"schedules": {"a.x": entry}}, a=of(work))
    (fault,) = caught.value.faults
    assert fault.key == key
    assert expected in fault.expected


class Hooks:
    @hookspec
    def register_tools(self) -> Any:
        """Tools."""


class Owner(Plugin[PluginSettings]):
    hookspecs = Hooks


def hooked(function: Callable[[Any], Any]) -> type[Plugin[Any]]:
    return type("Hooked", (Plugin,), {"register_tools": hookimpl(function)})


def test_hooks_of_other_plugins_are_collected_once_at_start() -> None:
    calls: list[int] = []

    def register_tools(self: Any) -> Any:
        calls.append(1)
        return ["hammer"]

    plugins = load(owner=Owner, maker=hooked(register_tools))
    assert plugins.collect("register_tools") == [("maker", "hammer")]
    assert plugins.collect("register_tools") == [("maker", "hammer")]
    assert calls == [1]


def test_a_plugin_that_is_slow_or_raises_in_anothers_hook_is_named_at_start() -> None:
    from threading import Event

    def slow(self: Any) -> Any:
        Event().wait(60)

    def raising(self: Any) -> Any:
        raise RuntimeError("no tools today")

    plugins = load(owner=Owner, slow=hooked(slow), raising=hooked(raising), other=of())
    assert plugins.names == ["other", "owner"]
    assert "has not returned" in plugins.record("slow").reason
    assert "no tools today" in plugins.record("raising").reason


def test_a_hook_that_asks_for_the_hopyard_that_is_being_made_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hopyard import Hopyard, current

    monkeypatch.setattr(current, "_instance", None)

    class Asking(Plugin[PluginSettings]):
        @hookimpl
        def register_tasks(self) -> Any:
            return [Hopyard.current()]

    record = load(asking=Asking).record("asking")
    assert "comes after all plugins" in record.reason
    assert "self.settings" in record.hint


def test_a_start_that_hangs_ends_that_plugin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    started: list[str] = []

    class Hanging(Plugin[PluginSettings]):
        @hookimpl
        def start_process(self) -> None:
            Event().wait(60)

    class Starting(Plugin[PluginSettings]):
        @hookimpl
        def start_process(self, role: str) -> None:
            started.append(role)

    plugins = load(hanging=Hanging, starting=Starting)
    plugins.start_process("worker", time_limit=0.2)
    assert started == ["worker"]
    assert plugins.names == ["starting"]
    assert "has not returned after 0.2 s" in plugins.record("hanging").reason
    assert "start_limit" in plugins.record("hanging").hint


@pytest.mark.parametrize(
    "attributes",
    [{"migrations": 5}, {"requires": 5}, {"requires": "x"}, {"after": [1]}, {"hookspecs": 5}],
)
def test_a_manifest_that_is_none_quarantines_its_plugin(attributes: dict[str, Any]) -> None:
    plugins = load(a=of(**attributes), b=of())
    assert plugins.names == ["b"]
    assert plugins.record("a").reason


@pytest.mark.parametrize(
    "line",
    [
        "raise BaseException('odd')",
        "raise GeneratorExit",
        "import asyncio\nraise asyncio.CancelledError",
        "class Own(BaseException): ...\nraise Own('mine')",
    ],
)
def test_whatever_an_import_raises_ends_only_its_plugin(
    line: str, install: Install, load_installed: Load
) -> None:
    install("good", GOOD)
    install("odd", line)
    plugins = load_installed()
    assert plugins.names == ["good"]
    assert plugins.record("odd").stage == "import"


def test_an_import_that_takes_long_is_named_while_it_goes_on(
    install: Install, load_installed: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from hopyard.loading import _importing

    monkeypatch.setattr(_importing, "_PATIENCE", 0.05)
    waits = (
        "import logging, threading\nseen = threading.Event()\n"
        "class Look(logging.Handler):\n    def emit(self, record): seen.set()\n"
        "look = Look()\nlogging.getLogger('hopyard.notice').addHandler(look)\n"
        "assert seen.wait(30)\nlogging.getLogger('hopyard.notice').removeHandler(look)\n"
    )
    install("slow", waits + GOOD.replace("good", "slow").replace("Good", "Slow"))
    with caplog.at_level(logging.WARNING, "hopyard.notice"):
        assert load_installed().names == ["slow"]
    assert "plugin slow: importing site_hopyard_slow:Slow takes longer than" in caplog.text


PRINTING = """
import sys
print("at import")
class Chatty(Plugin[PluginSettings]):
    def __init__(self, *args):
        print("when made")
        super().__init__(*args)
    @hookimpl
    def register_tasks(self):
        print("in a hook")
        return []
"""


def test_what_plugins_print_while_they_are_loaded_is_no_output(
    install: Install, load_installed: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    install("chatty", PRINTING)
    load_installed()
    sys.stdout.write("the answer\n")
    captured = capsys.readouterr()
    assert captured.out == "the answer\n"
    assert captured.err.split("\n")[:3] == ["at import", "when made", "in a hook"]


@pytest.mark.parametrize(
    "content",
    [
        "[hopyard",
        "no group\n",
        "[hopyard]\nno equals sign\n",
        "[a]\nx = \n[b\n= y",
        "\0\xff",
        "[g]\nn = a:b:c[d",
    ],
)
def test_a_foreign_package_with_broken_entry_points_is_named_and_the_rest_runs(
    content: str, install: Install, tmp_path: Path
) -> None:
    """In processes of their own: every command that needs plugins, and the app that `celery -A` finds."""
    install("good", GOOD)
    foreign = tmp_path / "foreign-1.0.dist-info"
    foreign.mkdir()
    (foreign / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (foreign / "entry_points.txt").write_bytes(content.encode("latin-1"))
    code = (
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from hopyard import Hopyard\nhopyard = Hopyard.load()\n"
        "assert 'good' in hopyard.plugins.names, hopyard.plugins.records\n"
        "hopyard.celery\nhopyard.celery.loader.import_default_modules()\nhopyard.celery.backend\n"
        "from celery.bin import celery\n"
        "import sqlalchemy as sa\nsa.create_engine('sqlite://')\n"
    )
    environment = {"HOPYARD_BROKER_URL": "memory://", "PATH": "/usr/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
