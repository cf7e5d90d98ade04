"""Loading plugins that are right: contributions, order, hooks of plugins, the operator's overrides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest
from hopyard import redaction
from hopyard.errors import ConfigError, PluginError
from hopyard.hookspecs import hookimpl, hookspec
from hopyard.loading import Plugins, PluginState, load_plugins
from hopyard.plugin import Plugin, PluginSettings
from hopyard.settings import Settings
from hopyard.specs import Category, Health, HealthCheck, Notifier, Queue, RetryPolicy, Rule, Schedule, Verdict
from hopyard.tasks import task
from pydantic import SecretStr


@task("ai.analyze", retry=RetryPolicy(max_retries=7, backoff=5), time_limit=30, priority=8)
def analyze(text: str, more: int = 0) -> str:
    return text


@task("ai.embed", queue="ai.batch")
def embed(text: str) -> str:
    return text


async def healthy() -> Health:
    return Health(True)


async def deliver(address: str, message: Any) -> None: ...


class AISettings(PluginSettings):
    model: str = "small"
    api_key: SecretStr | None = None


class AIHooks:
    @hookspec
    def register_tools(self) -> Iterable[str]:  # type: ignore[empty-body]
        """Tools."""

    @hookspec
    def choose_model(self, task: str) -> str | None:
        """A model."""


class AI(Plugin[AISettings]):
    hookspecs = AIHooks

    @hookimpl
    def register_tasks(self) -> Any:
        return [analyze, embed]

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("ai.batch", slots=2)]

    @hookimpl
    def register_schedules(self) -> Any:
        return [Schedule("ai.nightly", "ai.analyze", Rule(cron="@daily"), {"text": "a", "more": 1})]

    @hookimpl
    def register_health_checks(self) -> Any:
        return [HealthCheck("model", healthy)]

    @hookimpl
    def register_notifiers(self) -> Any:
        return [Notifier("pigeon", deliver)]

    @hookimpl
    def register_commands(self) -> Any:
        return [click.Command("chat")]

    @hookimpl
    def classify_error(self, error: BaseException) -> Any:
        return Verdict(Category.AUTHENTICATION) if "ai" in str(error) else None


class Extra(Plugin[PluginSettings]):
    """Gives tools to AI; loaded before it by name, since nothing else is asked for."""

    events: ClassVar[list[str]] = []
    broken: ClassVar[bool] = False
    toolless: ClassVar[bool] = False

    @hookimpl
    def register_tools(self) -> Any:
        if self.toolless:
            raise RuntimeError("no tools today")
        return ["hammer"]

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("extra")]

    @hookimpl
    def choose_model(self, task: str) -> str:
        return f"big-{task}"

    @hookimpl
    def classify_error(self, task: str, error: BaseException) -> Any:
        if self.broken:
            raise RuntimeError("no opinion today")
        return Verdict(Category.TRANSIENT)

    @hookimpl
    def start_process(self, role: str) -> None:
        if self.broken:
            raise RuntimeError("cannot connect")
        self.events.append(f"start {role}")

    @hookimpl
    def stop_process(self) -> None:
        self.events.append("stop")
        raise RuntimeError("already gone")


class Needy(Plugin[PluginSettings]):
    requires = ("extra",)


def load(settings: dict[str, Any] | None = None, **plugins: type[Plugin[Any]]) -> Plugins:
    made = Settings.model_validate(settings or {})
    return load_plugins(made, role="cli", builtin=plugins or {"ai": AI}, distributions=[])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Extra, "broken", True)


def test_contributions_of_a_plugin_are_collected() -> None:
    plugins = load()
    assert plugins.tasks == {"ai.analyze": analyze, "ai.embed": embed}
    assert set(plugins.queues) == {"ai", "ai.batch"}, (
        "the plugin's own queue is made for tasks that name none"
    )
    assert [(name, check.name) for name, check in plugins.health_checks] == [("ai", "model")]
    assert set(plugins.notifiers) == {"pigeon"}
    assert [command.name for command in plugins.commands("ai")] == ["chat"]
    assert plugins.schedules["ai.nightly"].declared_by == "ai"
    assert isinstance(plugins.get("ai").settings, AISettings)
    assert plugins.ready


class Birds(Plugin[PluginSettings]):
    """Offers a kind of notification that `AI` serves as well, and one more."""

    @hookimpl
    def register_notifiers(self) -> Any:
        return [Notifier("pigeon", deliver), Notifier("owl", deliver)]


def test_of_two_notifiers_for_one_kind_the_later_plugins_is_left_out() -> None:
    plugins = load(ai=AI, birds=Birds)
    assert plugins.names == ["ai", "birds"]
    assert set(plugins.notifiers) == {"pigeon", "owl"}
    (note,) = plugins.record("birds").warnings
    assert "kind `pigeon` is left out: the plugin `ai` serves these already" in note
    assert plugins.record("ai").warnings == []
    plugins.withdraw("ai", "its tables are missing")
    assert set(plugins.notifiers) == {"pigeon", "owl"}
    assert plugins.record("birds").warnings == []


def test_declared_options_are_completed_by_the_standard_ones() -> None:
    options = load().options
    assert options["ai.analyze"].queue == "ai"
    assert options["ai.analyze"].retry.max_retries == 7
    assert (options["ai.analyze"].time_limit, options["ai.analyze"].priority) == (30.0, 8)
    assert (options["ai.embed"].queue, options["ai.embed"].time_limit) == ("ai.batch", 600.0)
    assert (options["ai.embed"].priority, options["ai.embed"].retry) == (5, RetryPolicy())


def test_the_operators_overrides_win_over_the_declarations() -> None:
    plugins = load(
        {
            "tasks": {"ai.analyze": {"queue": "ai.batch", "retry": {"backoff": "2m"}, "time_limit": "1h"}},
            "queues": {"ai.batch": {"slots": 9, "group": "slow"}},
            "schedules": {
                "ai.nightly": {"every": "2m", "enabled": False, "kwargs": {"text": "b"}},
                "ai.weekly": {
                    "task": "ai.embed",
                    "cron": "@weekly",
                    "zone": "Asia/Tokyo",
                    "kwargs": {"text": "c"},
                },
            },
        }
    )
    options = plugins.options["ai.analyze"]
    assert (options.queue, options.time_limit, options.retry) == ("ai.batch", 3600.0, RetryPolicy(7, 120.0))
    assert plugins.queues["ai.batch"] == Queue("ai.batch", 9, 5, "slow")
    nightly = plugins.schedules["ai.nightly"]
    assert (nightly.rule, nightly.enabled) == (Rule(every=120.0, zone="UTC"), False)
    assert (nightly.kwargs, nightly.declared_by) == ({"text": "b", "more": 1}, "ai")
    weekly = plugins.schedules["ai.weekly"]
    assert (weekly.rule, weekly.declared_by) == (Rule(cron="@weekly", zone="Asia/Tokyo"), "settings")


def test_overrides_of_unknown_names_are_faults_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            {
                "tasks": {"ai.analize": {"priority": 1}, "ai.embed": {"queue": "ai.bath"}},
                "queues": {"ai.bach": {"slots": 1}},
                "schedules": {"ai.nightli": {"enabled": False}, "x.y": {"task": "ai.embd", "every": 5}},
            }
        )
    assert {fault.key: fault.nearest for fault in caught.value.faults} == {
        'queues."ai.bach"': "ai.batch",
        'tasks."ai.analize"': "ai.analyze",
        'tasks."ai.embed".queue': "ai.batch",
        'schedules."ai.nightli"': "ai.nightly",
        'schedules."x.y".task': "ai.embed",
    }


def test_overrides_for_an_absent_plugin_are_no_faults() -> None:
    plugins = load({"plugins": {"allow": ["email"]}, "tasks": {"email.send": {"priority": 1}}})
    assert plugins.withdrawn == {"email"}


def test_secrets_of_a_plugins_settings_are_redacted_from_then_on() -> None:
    load({"plugins": {"ai": {"settings": {"api_key": "tr0ub4dor-and-3"}}}})
    assert redaction.redact("key=tr0ub4dor-and-3") == "key=***"


def test_hooks_of_a_plugin_are_known_to_plugins_loaded_before_it() -> None:
    plugins = load(extra=Extra, ai=AI)
    assert plugins.names == ["ai", "extra"]
    assert plugins.collect("register_tools") == [("extra", "hammer")]
    assert plugins.decide("choose_model", task="t") == "big-t"
    assert plugins.collect("register_nothing") == []


def test_who_raises_in_a_plugin_owned_hook_is_withdrawn_with_all_it_contributed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Extra, "toolless", True)
    plugins = load(extra=Extra, ai=AI, needy=Needy)
    assert plugins.collect("register_tools") == []
    assert plugins.record("extra").state is PluginState.QUARANTINED
    assert "no tools today" in plugins.record("extra").reason
    assert plugins.record("needy").stage == "requires"
    assert plugins.names == ["ai"]
    assert "extra" not in plugins.queues
    with pytest.raises(PluginError, match="extra is quarantined"):
        plugins.get("extra")


def test_the_owner_of_a_task_is_the_first_to_classify_its_errors() -> None:
    plugins = load(extra=Extra, ai=AI)
    assert plugins.classify("ai.analyze", RuntimeError("ai key")) == Verdict(Category.AUTHENTICATION)
    assert plugins.classify("extra.x", RuntimeError("ai key")) == Verdict(Category.TRANSIENT)
    assert plugins.classify("ai.analyze", RuntimeError("odd")) == Verdict(Category.TRANSIENT)


@pytest.mark.usefixtures("broken")
def test_an_error_while_classifying_is_logged_and_no_opinion(caplog: pytest.LogCaptureFixture) -> None:
    plugins = load(extra=Extra, ai=AI)
    assert plugins.classify("extra.x", RuntimeError("ai key")) == Verdict(Category.AUTHENTICATION)
    assert "no opinion today" in caplog.text


def test_process_hooks_are_called_and_errors_at_the_end_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Extra, "events", [])
    plugins = load(extra=Extra, ai=AI)
    plugins.start_process("worker")
    plugins.stop_process("worker")
    assert Extra.events == ["start worker", "stop"]
    assert "already gone" in caplog.text


@pytest.mark.usefixtures("broken")
def test_who_raises_at_the_start_of_a_process_is_withdrawn() -> None:
    plugins = load({"plugins": {"extra": {"required": True}}}, extra=Extra, ai=AI)
    assert plugins.ready
    plugins.start_process("worker")
    assert (plugins.record("extra").stage, plugins.names) == ("start_process", ["ai"])
    assert not plugins.ready


@pytest.mark.usefixtures("broken")
def test_who_raises_at_the_start_ends_the_process_if_the_settings_say_so() -> None:
    plugins = load({"plugins": {"extra": {"on_failure": "abort"}}}, extra=Extra, ai=AI)
    with pytest.raises(PluginError, match="cannot connect"):
        plugins.start_process("worker")


def test_a_plugin_can_be_withdrawn_from_outside() -> None:
    plugins = load()
    plugins.withdraw("ai", "its tables are missing", hint="run `hopyard db upgrade`")
    assert plugins.record("ai").state is PluginState.MISCONFIGURED
    assert plugins.tasks == {}


def test_plugins_are_loaded_after_what_they_require_or_name() -> None:
    class First(Plugin[PluginSettings]):
        after = ("zebra", "absent")

    class Zebra(Plugin[PluginSettings]): ...

    assert load(first=First, zebra=Zebra).names == ["zebra", "first"]


def test_a_hook_specification_of_another_plugin_is_not_taken_over() -> None:
    class Thief(Plugin[PluginSettings]):
        hookspecs = AIHooks

    plugins = load(ai=AI, thief=Thief)
    assert plugins.names == ["ai"]
    assert "taken by ai" in plugins.record("thief").reason


def test_a_hopfile_is_a_plugin_without_packaging(tmp_path: Path) -> None:
    hopfile = tmp_path / "hopfile.py"
    hopfile.write_text(
        "from hopyard import Plugin, Queue, hookimpl\n"
        "class Ours(Plugin):\n"
        "    @hookimpl\n"
        "    def register_queues(self): return [Queue('site.fast')]\n"
    )
    plugins = load_plugins(Settings(), role="cli", distributions=[], site=hopfile)
    assert plugins.names == ["site"]
    assert set(plugins.queues) == {"site.fast"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x = 1", "0 plugin classes"), ("1/0", "ZeroDivisionError"), ("def (", "SyntaxError")],
)
def test_a_broken_hopfile_ends_only_itself(tmp_path: Path, text: str, reason: str) -> None:
    hopfile = tmp_path / "hopfile.py"
    hopfile.write_text(text)
    plugins = load_plugins(Settings(), role="cli", builtin={"ai": AI}, distributions=[], site=hopfile)
    assert plugins.names == ["ai"]
    assert reason in plugins.record("site").reason


class Other(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("other")]


class Needs(Plugin[PluginSettings]):
    requires = ("ai",)

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("needs")]


class Both(Plugin[PluginSettings]):
    requires = ("ai", "other")


def test_a_withdrawn_plugin_comes_back_with_what_it_contributed_and_those_that_require_it() -> None:
    """In the order of loading; what was withdrawn at another stage stays out."""
    plugins = load(ai=AI, needs=Needs, other=Other)
    before = [plugins.names, [*plugins.tasks], [*plugins.queues], plugins.records]
    plugins.withdraw("ai", "its tables are behind", stage="migrations")
    assert (plugins.names, [*plugins.tasks]) == (["other"], [])
    plugins.withdraw("other", "it does not start", stage="start")
    assert [*plugins.awaiting("migrations")] == ["ai"]
    assert plugins.readmit(["ai"]) == ["ai", "needs"]
    assert plugins.withdrawn == {"other"}
    assert plugins.readmit(["other"]) == ["other"]
    assert [plugins.names, [*plugins.tasks], [*plugins.queues], plugins.records] == before


def test_who_requires_two_withdrawn_plugins_comes_back_with_the_last_of_them() -> None:
    plugins = load(ai=AI, other=Other, both=Both)
    for name in ("ai", "other"):
        plugins.withdraw(name, "its tables are behind", stage="migrations")
    assert plugins.names == []
    assert plugins.readmit(["ai"]) == ["ai"]
    assert plugins.readmit(["other"]) == ["other", "both"]
