"""A broken plugin ends only itself, and its record says why and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hopyard.errors import ConfigError, PluginError
from hopyard.loading import Plugins, PluginState, load_plugins
from hopyard.settings import Settings
from plugin_files import GOOD, Install

# name: (code, state, stage, what the reason must say, what the hint must say)
BROKEN = {
    "importing": (
        "import no_such_library_at_all",
        "quarantined",
        "import",
        "no_such_library_at_all",
        "install what",
    ),
    "raising": (
        "raise RuntimeError('boom at import')",
        "quarantined",
        "import",
        "boom at import",
        "traceback",
    ),
    "exiting": (
        "import sys\nsys.exit(3)",
        "quarantined",
        "import",
        "sys.exit(3)",
        "must not end the process",
    ),
    "notaplugin": (
        "class Notaplugin: ...",
        "quarantined",
        "class",
        "no subclass",
        'notaplugin = "package:Class"',
    ),
    "noclass": ("x = 1", "quarantined", "import", "has no `Noclass`", "existing class"),
    "hookless": (
        "class Hookless(Plugin):\n    @hookimpl\n    def register_task(self): return []",
        "quarantined",
        "hooks",
        "no hook `register_task`",
        "did you mean `register_tasks`?",
    ),
    "argued": (
        "class Argued(Plugin):\n    @hookimpl\n    def start_process(self, rolle): ...",
        "quarantined",
        "hooks",
        "rolle",
        "arguments",
    ),
    "coroutine": (
        "class Coroutine(Plugin):\n    @hookimpl\n    async def register_tasks(self): return []",
        "quarantined",
        "hooks",
        "async def",
        "write `def`",
    ),
    "twice": (
        """
class Twice(Plugin):
    @hookimpl
    def register_queues(self): return [Queue("twice")]
    @hookimpl
    def register_tasks(self):
        @task("twice.work")
        def first() -> None: ...
        @task("twice.work")
        def second() -> None: ...
        return [first, second]
""",
        "quarantined",
        "register_tasks",
        "`twice.work` is declared twice",
        "another name",
    ),
    "foreign": (
        """
class Foreign(Plugin):
    @hookimpl
    def register_tasks(self):
        @task("good.theft")
        def theft() -> None: ...
        return [theft]
""",
        "quarantined",
        "register_tasks",
        "`good.theft` is outside of its namespace",
        "foreign.",
    ),
    "squatter": (
        "class Squatter(Plugin):\n    @hookimpl\n    def register_queues(self): return [Queue('good')]",
        "quarantined",
        "register_queues",
        "queue `good` is outside",
        "squatter",
    ),
    "hookraises": (
        """
class Hookraises(Plugin):
    @hookimpl
    def register_queues(self): return [Queue("hookraises")]
    @hookimpl
    def register_schedules(self): raise ValueError("no such file")
""",
        "quarantined",
        "register_schedules",
        "ValueError: no such file",
        "mend the plugin's register_schedules",
    ),
    "hookexits": (
        "class Hookexits(Plugin):\n    @hookimpl\n    def register_queues(self): raise SystemExit(4)",
        "quarantined",
        "register_queues",
        "SystemExit: 4",
        "mend",
    ),
    "hanging": (
        """
class Hanging(Plugin):
    @hookimpl
    def register_queues(self):
        yield Queue("hanging")
        time.sleep(30)
""",
        "quarantined",
        "register_queues",
        "has not returned after 0.3 s",
        "without waiting",
    ),
    "nospec": (
        "class Nospec(Plugin):\n    @hookimpl\n    def register_queues(self): return ['nospec']",
        "quarantined",
        "register_queues",
        "returned str 'nospec'",
        "return a list of Queue",
    ),
    "returnsnone": (
        "class Returnsnone(Plugin):\n    @hookimpl\n    def register_tasks(self): ...",
        "quarantined",
        "register_tasks",
        "returned NoneType",
        "return a list",
    ),
    "lonely": (
        "class Lonely(Plugin):\n    requires = ('god',)",
        "quarantined",
        "requires",
        "requires the plugin `god`, which is not installed",
        "did you mean `good`?",
    ),
    "follower": (
        "class Follower(Plugin):\n    requires = ('raising',)",
        "quarantined",
        "requires",
        "`raising`, which is quarantined",
        "hopyard plugins",
    ),
    "cyclea": (
        "class Cyclea(Plugin):\n    requires = ('cycleb',)",
        "quarantined",
        "order",
        "circle",
        "take one",
    ),
    "cycleb": (
        "class Cycleb(Plugin):\n    after = ('cyclea',)",
        "quarantined",
        "order",
        "circle",
        "take one",
    ),
    "worker": ("class Worker(Plugin): ...", "quarantined", "name", "`worker` is reserved", "rename"),
    "Loud": ("class Loud(Plugin): ...", "quarantined", "name", "`Loud` is no plugin name", "rename"),
    "badrule": (
        """
class Badrule(Plugin):
    @hookimpl
    def register_schedules(self):
        return [Schedule("badrule.tick", "good.work", Rule(cron="61 * * * *"))]
""",
        "quarantined",
        "register_schedules",
        "61 * * * *",
        "site_hopyard_badrule.py:8",
    ),
    "aimless": (
        """
class Aimless(Plugin):
    @hookimpl
    def register_schedules(self):
        return [Schedule("aimless.tick", "good.wrok", Rule(every=60))]
""",
        "quarantined",
        "register_schedules",
        "unknown task `good.wrok`",
        "did you mean `good.work`?",
    ),
    "queueless": (
        """
class Queueless(Plugin):
    @hookimpl
    def register_tasks(self):
        @task("queueless.work", queue="goood")
        def work() -> None: ...
        return [work]
""",
        "quarantined",
        "register_tasks",
        "unknown queue `goood`",
        "did you mean `good`?",
    ),
    "constructor": (
        "class Constructor(Plugin):\n    def __init__(self, name, settings): raise OSError('disk')",
        "quarantined",
        "__init__",
        "OSError: disk",
        "mend",
    ),
    "misconfigured": (
        "class Model(PluginSettings):\n    size: int\nclass Misconfigured(Plugin[Model]): ...",
        "misconfigured",
        "settings",
        'plugins.misconfigured.settings.size: found "big", expected a whole number',
        "did you mean `size`?",
    ),
}


def settings_for(**plugins: object) -> Settings:
    return Settings.model_validate({"plugins": plugins})


def test_all_broken_plugins_at_once_end_only_themselves(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("good", GOOD)
    for name, (code, *_) in BROKEN.items():
        install(name, code)
    settings = settings_for(misconfigured={"settings": {"size": "big", "siez": 3}})

    plugins = load_installed(settings, time_limit=0.3)

    assert plugins.names == ["good"]
    assert set(plugins.tasks) == {"good.work"}
    assert set(plugins.queues) == {"good"}
    assert plugins.schedules == {}
    assert plugins.withdrawn == frozenset(BROKEN)
    for name, (_, state, stage, reason, hint) in BROKEN.items():
        record = plugins.record(name)
        assert (record.state, record.stage) == (state, stage), record
        assert reason in record.reason, record
        assert hint in record.hint, record
        assert record.distribution == f"hopyard-{name.lower()}"
        assert record.version == "1.2"


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - {"cycleb"}))
def test_each_broken_plugin_alone_leaves_the_good_one(
    name: str, install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("good", GOOD)
    install(name, BROKEN[name][0])

    plugins = load_installed(
        settings_for(misconfigured={"settings": {"size": "big", "siez": 3}}), time_limit=0.3
    )

    assert plugins.names == ["good"]
    assert plugins.record(name).failed


def test_two_distributions_with_one_name_are_both_named_and_neither_is_loaded(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("good", GOOD)
    install("email", "class Email(Plugin): ...", project="acme-mail")
    install("email", "class Email(Plugin): ...", project="other-mail")

    plugins = load_installed()

    record = plugins.record("email")
    assert plugins.names == ["good"]
    assert record.stage == "duplicates"
    assert "acme-mail (site_acme_mail:Email) and other-mail (site_other_mail:Email)" in record.reason
    assert "pip uninstall other-mail" in record.hint
    assert not {"site_acme_mail", "site_other_mail"} & set(sys.modules)


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        ("hopyard>=99", "needs hopyard>=99, but 0.1.0 is installed"),
        ("click<1", "needs click<1, but"),
        ("no-such-thing-here>=2", "needs no-such-thing-here>=2, which is not installed"),
        ("hopyard >=", "has a requirement that is none"),
    ],
)
def test_a_requirement_that_is_not_met_is_found_before_import(
    requires: str, reason: str, install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("good", GOOD)
    install("future", "raise AssertionError('imported')", requires=requires)

    plugins = load_installed()

    record = plugins.record("future")
    assert plugins.names == ["good"]
    assert (record.state, record.stage) == (PluginState.INCOMPATIBLE, "requirements")
    assert reason in record.reason
    assert "site_hopyard_future" not in sys.modules


def test_a_requirement_of_an_extra_or_of_another_platform_does_not_count(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install(
        "good",
        GOOD,
        requires='hopyard<1\nRequires-Dist: nothing>1; extra == "x"\nRequires-Dist: no; os_name=="z"',
    )
    assert load_installed().names == ["good"]


def test_a_plugin_outside_of_the_allow_list_is_not_imported(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("good", GOOD)
    install("other", "raise AssertionError('imported')")

    plugins = load_installed(settings_for(allow=["good"]))

    record = plugins.record("other")
    assert (record.state, record.stage, record.traceback) == (PluginState.DISABLED, "allow", "")
    assert plugins.withdrawn == frozenset()
    assert plugins.names == ["good"]


def test_plugins_named_in_the_settings_but_not_installed_are_missing(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("good", GOOD)

    plugins = load_installed(settings_for(allow=["good", "goood", "email"], email={"required": True}))

    assert plugins.record("email").state is PluginState.MISSING
    assert "pip install hopyard-email" in plugins.record("email").hint
    assert plugins.record("goood").hint == "did you mean `good`?"
    assert plugins.record("goood").faults[0].key == "plugins.allow[1]"
    assert not plugins.ready


def test_an_import_error_keeps_its_traceback(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("raising", BROKEN["raising"][0])
    assert "RuntimeError: boom at import" in load_installed().record("raising").traceback


def test_a_hanging_hook_is_shown_with_the_line_where_it_hangs(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("hanging", BROKEN["hanging"][0])
    assert "time.sleep(30)" in load_installed(time_limit=0.2).record("hanging").traceback


def test_secrets_in_a_plugins_settings_are_masked_in_its_faults(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    field = "api_key: SecretStr = Field(min_length=99)"
    code = f"from pydantic import SecretStr, Field\nclass M(PluginSettings):\n    {field}"
    install("shy", f"{code}\nclass Shy(Plugin[M]): ...")

    record = load_installed(settings_for(shy={"settings": {"api_key": "hunter2-hunter2"}})).record("shy")

    assert record.state is PluginState.MISCONFIGURED
    assert record.faults[0].found == "***"
    assert "hunter2" not in repr(record)


def test_strict_refuses_to_start_and_lists_all(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    for name in ("raising", "hookless"):
        install(name, BROKEN[name][0])
    with pytest.raises(PluginError) as caught:
        load_installed(settings_for(strict=True))
    assert "boom at import" in str(caught.value)
    assert "did you mean `register_tasks`?" in str(caught.value)


def test_on_failure_abort_refuses_only_for_that_plugin(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("raising", BROKEN["raising"][0])
    install("misconfigured", BROKEN["misconfigured"][0])
    wrong = {"size": "big", "siez": 3}
    load_installed(settings_for(misconfigured={"settings": wrong}))
    with pytest.raises(ConfigError) as caught:
        load_installed(settings_for(misconfigured={"settings": wrong, "on_failure": "abort"}))
    assert [fault.key.rpartition(".")[2] for fault in caught.value.faults] == ["size", "siez"]


def test_a_broken_entry_points_file_does_not_end_the_others(
    install: Install, load_installed: Callable[..., Plugins], tmp_path: Path
) -> None:
    install("good", GOOD)
    for name, text in {
        "cut": "[hopyard]\ncut = cut:Cut\n",
        "odd": "[hopyard]\nodd\n= x\n[",
        "bin": "\0\1",
    }.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(text)
    plugins = load_installed()
    assert plugins.names == ["good"]
    assert plugins.record("cut").failed


def test_a_hook_of_an_unreadable_plugin_is_let_pass(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    """Where a plugin that owns hooks cannot be imported, those who implement its hooks go on."""
    install("owner", "raise RuntimeError('broken')")
    install("giver", "class Giver(Plugin):\n    @hookimpl\n    def offer_gadgets(self): return []")
    assert load_installed().names == ["giver"]


def test_a_name_that_is_near_an_installed_one_is_a_fault_also_where_it_is_disabled(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    """Else the plugin that an operator has disabled, or configured, runs as if they had not."""
    install("maintenance", GOOD.replace("good", "maintenance").replace("Good", "Maintenance"))
    sections: list[dict[str, object]] = [
        {"maintenence": {"enabled": False}},
        {"maintenence": {"settings": {"x": 1}}, "allow": ["other"]},
        {"maintenence": {}},
    ]
    for plugins in sections:
        record = load_installed(Settings.model_validate({"plugins": plugins})).record("maintenence")
        assert record.state is PluginState.MISSING, plugins
        (fault,) = record.faults
        assert (fault.key, fault.nearest) == ("plugins.maintenence", "maintenance")


def test_a_section_that_is_kept_for_another_machine_is_no_fault(
    install: Install, load_installed: Callable[..., Plugins]
) -> None:
    install("mail", GOOD.replace("good", "mail").replace("Good", "Mail"))
    plugins: list[dict[str, object]] = [
        {"media": {"enabled": False}},
        {"email": {"enabled": False}, "mail": {}},  # both are named: neither is meant for the other
        {"email": {"settings": {"x": 1}}, "allow": ["mail"]},
    ]
    for section in plugins:
        loaded = load_installed(Settings.model_validate({"plugins": section}))
        assert [one.name for one in loaded.records if one.failed] == [], section


@pytest.mark.parametrize(
    ("line", "reason"),
    [("migrations = 5", "migrations"), ("requires = 'ai'", "requires"), ("after = (1,)", "after")],
)
def test_a_hopfile_is_looked_at_as_any_plugin(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "hopfile.py").write_text(f"from hopyard import Plugin\nclass Site(Plugin):\n    {line}\n")
    record = load_plugins(Settings(), role="cli", distributions=[], site=tmp_path / "hopfile.py").record(
        "site"
    )
    assert (record.state, record.stage) == (PluginState.QUARANTINED, "class")
    assert f"Site.{reason}" in record.reason
