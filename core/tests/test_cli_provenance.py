"""`hopyard explain task|config` and `hopyard plugins verify`, as a person runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.cli import main
from hopyard.errors import PluginError
from planted import FILES, installed_sample

HOPFILE = """
from contextlib import nullcontext
from hopyard import Plugin, PluginSettings, Queue, RetryPolicy, Rule, Schedule, Tool, hookimpl, task

@task("site.work", priority=7, retry=RetryPolicy(max_retries=2), tool=Tool(read_only=True))
def work() -> None:
    "Work."

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=3)]
    @hookimpl
    def register_tasks(self): return [work]
    @hookimpl
    def register_schedules(self): return [Schedule("site.daily", "site.work", Rule(every=60))]
    @hookimpl
    def run_task(self, job): return nullcontext()
"""

SETTINGS = """
[plugins]
allow = ["site"]
[tasks."site.work"]
time_limit = 9
[tasks."site.work".retry]
backoff = 1
[queues.site]
priority = 2
[schedules."site.hourly"]
task = "site.work"
every = 3600
"""


@pytest.fixture
def hopyard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "hopfile.py").write_text(HOPFILE)
    (tmp_path / "hopyard.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments], standalone_mode=False)

    yield run
    current.set_instance(None)


def told(result: Result) -> dict[str, tuple[Any, str]]:
    return {row["what"]: (row["value"], Path(row["source"]).name) for row in json.loads(result.stdout)}


def test_each_value_of_a_task_has_its_source(hopyard: Any) -> None:
    found = told(hopyard("explain", "task", "site.work", "--json"))
    assert found["plugin"] == ("site", "hopfile.py")
    assert found["queue"] == ("site", "the plugin's name")
    assert found["priority"] == (7, "hopfile.py:5")
    assert found["time_limit"] == (9.0, "hopyard.toml:5")
    assert found["retry.max_retries"] == (2, "hopfile.py:5")
    assert found["retry.backoff"] == (1.0, "hopyard.toml:7")
    assert found["queue site: slots"] == (3, "`register_queues` of plugin site")
    assert found["queue site: priority"] == (2, "hopyard.toml:9")
    assert found["tool"] == ("only reads", "hopfile.py:5")
    assert found["runs in"][0] == "thread"
    assert found["schedule site.daily"][1] == "`register_schedules` of plugin site"
    assert found["schedule site.hourly"][1].startswith("hopyard.toml:")
    assert found["run_task"] == ("site", "hopfile.py:16")


def test_a_schedule_that_the_operator_changed_says_where(
    hopyard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hopyard.toml").write_text('[schedules."site.daily"]\nevery = 5\n')
    monkeypatch.setenv("HOPYARD_SCHEDULES__SITE__DAILY__ENABLED", "true")
    found = told(hopyard("explain", "task", "site.work", "--json"))
    assert found["schedule site.daily"][0]["every"] == 5.0
    assert found["schedule site.daily"][1] == (
        "hopyard.toml:2, environment variable HOPYARD_SCHEDULES__SITE__DAILY__ENABLED"
    )


def test_each_setting_has_its_source(hopyard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPYARD_WORKER__LEASE", "20")
    found = told(hopyard("explain", "config", "worker", "--json"))
    assert found["worker.lease"] == (20.0, "environment variable HOPYARD_WORKER__LEASE")
    assert found["worker.grace"] == (10.0, "default")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["task", "site.wrok"], "site.work"),
        (["config", "worker.leas"], "worker.lease"),
        (["task"], "the NAME is missing"),
        (["config"], "the KEY is missing"),
        ([], "task NAME"),
        (["task", "site.work", "more"], "task NAME"),
        (["task", "site.work", "--key", "k"], "task NAME"),
    ],
)
def test_what_cannot_be_explained_is_refused(hopyard: Any, arguments: list[str], expected: str) -> None:
    result = hopyard("explain", *arguments)
    assert result.exit_code != 0 or result.exception is not None
    assert expected in result.output + str(result.exception)


def test_a_word_without_its_name_is_a_usage_error(hopyard: Any) -> None:
    assert isinstance(hopyard("explain", "task").exception, click.UsageError)
    assert isinstance(hopyard("explain", "config").exception, click.UsageError)


def test_a_plugin_that_is_not_there_is_refused_with_the_nearest(hopyard: Any) -> None:
    refused = hopyard("plugins", "verify", "stie").exception
    assert isinstance(refused, PluginError)
    assert str(refused).endswith("there is no plugin `stie`; did you mean `site`?")
    assert "pip install hopyard-stie" in refused.hint


@pytest.mark.parametrize("source", ["import os\n\nos.nope\n", "\n\ndef (:\n"])
def test_a_hopfile_that_cannot_be_imported_is_refused_with_its_line(
    hopyard: Any, tmp_path: Path, source: str
) -> None:
    (tmp_path / "hopfile.py").write_text(source)
    refused = str(hopyard("plugins", "verify", "site").exception)
    assert "(at hopfile.py:3)" in refused
    assert "the traceback names the line" not in refused
    (site,) = [one for one in json.loads(hopyard("plugins", "--json").stdout) if one["name"] == "site"]
    assert "(at hopfile.py:3)" in site["reason"]
    assert site["traceback"]


def test_a_package_that_cannot_be_imported_is_refused_with_its_own_line(hopyard: Any, tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text('[plugins]\nallow = ["weather"]\n')
    tasks = FILES["hopyard_weather/tasks.py"] + "\nimport json\n\njson.loads('{')\n"
    with installed_sample(tmp_path / "installed", FILES | {"hopyard_weather/tasks.py": tasks}):
        refused = str(hopyard("plugins", "verify", "weather").exception)
    assert f"tasks.py:{tasks.count(chr(10))})" in refused


def test_an_installed_plugin_is_verified(hopyard: Any, tmp_path: Path) -> None:
    site = tmp_path / "installed"
    (tmp_path / "hopyard.toml").write_text('[plugins]\nallow = ["weather"]\n')
    with installed_sample(site):
        card = {
            row["rule"]: row for row in json.loads(hopyard("plugins", "verify", "weather", "--json").stdout)
        }
        tasks = FILES["hopyard_weather/tasks.py"]
        (site / "hopyard_weather" / "tasks.py").write_text(tasks + "\nprint('hello')\n")
        broken = hopyard("plugins", "verify", "weather")
    wrong = FILES | {"hopyard_weather/tasks.py": tasks.replace('"weather.rename"', '"mail.rename"')}
    with installed_sample(tmp_path / "wrong", wrong):
        unloaded = hopyard("plugins", "verify", "weather")
    assert card["loads"]["verdict"] == "held"
    assert card["resumes"]["verdict"] == "not checked"
    assert [name for name, row in card.items() if row["verdict"] == "broken"] == []
    assert "no-print: " in broken.stdout
    assert f"tasks.py:{tasks.count(chr(10)) + 2}: calls print" in broken.stdout
    assert broken.stdout.endswith("not checked: they need the examples of its tests\n")
    assert unloaded.stdout.endswith("not checked: they need a plugin that loads\n")
