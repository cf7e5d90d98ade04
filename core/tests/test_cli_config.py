"""`hopyard config` and `hopyard plugins`, as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Hopyard = Callable[..., "subprocess.CompletedProcess[str]"]

CODE = """
from pydantic import SecretStr
from hopyard import Plugin, PluginSettings

class Settings(PluginSettings):
    size: int = 1
    api_key: SecretStr | None = None

class Parrot(Plugin[Settings]): ...
"""


@pytest.fixture
def hopyard(tmp_path: Path) -> Hopyard:
    """Runs the command line in a folder of its own, with the plugins `parrot` and `broken` installed."""
    site = tmp_path / "site"
    for name, code in {"parrot": CODE, "broken": "raise RuntimeError('no voice')"}.items():
        folder = site / f"{name}_dist-1.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[hopyard]\n{name} = {name}_module:{name.capitalize()}\n")
        (site / f"{name}_module.py").write_text(code)

    def run(*arguments: str, toml: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "hopyard.toml").write_text(toml)
        path = os.pathsep.join([str(site), *sys.path])
        return subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-W",
                "ignore:'imghdr':DeprecationWarning",
                "-m",
                "hopyard.cli",
                *arguments,
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": path, "PATH": os.environ["PATH"], **environ},
            timeout=60,
            check=False,
        )

    return run


def test_config_check_tells_all_faults_in_one_message_and_ends_with_2(
    hopyard: Hopyard, tmp_path: Path
) -> None:
    toml = """
time_zone = "Europe/Berln"
databse_url = "x"
broker_url = { env = "ABSENT_BROKER" }
[plugins]
allow = ["parrot", "parot"]
[plugins.parrot.settings]
size = "big"
siez = 1
api_key = { env = "ABSENT_KEY" }
[queues.parrot]
slots = "eight"
[schedules."parrot.tick"]
cron = "* * *"
"""
    done = hopyard("config", "check", toml=toml)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("9 faults in the settings:")
    file = tmp_path / "hopyard.toml"
    for line, key, text in [
        (2, "time_zone", "did you mean `Europe/Berlin`?"),
        (3, "databse_url", "did you mean `database_url`?"),
        (4, "broker_url", "ABSENT_BROKER, which is not set"),
        (6, "plugins.allow[1]", "did you mean `parrot`?"),
        (8, "plugins.parrot.settings.size", "expected  a whole number"),
        (9, "plugins.parrot.settings.siez", "did you mean `size`?"),
        (10, "plugins.parrot.settings.api_key", "ABSENT_KEY, which is not set"),
        (12, "queues.parrot.slots", 'found     "eight"'),
        (14, 'schedules."parrot.tick".cron', "five fields"),
    ]:
        assert f"{key}  ({file}:{line})" in done.stderr
        assert text in done.stderr


def test_config_check_tells_of_a_plugin_that_is_not_there_beside_other_faults(hopyard: Hopyard) -> None:
    toml = 'time_zone = "Europe/Berln"\nodd = 1\n[plugins.parot]\n[plugins.parot.settings]\nx = 1\n'
    toml += "[plugins.broken]\nenabled = false\n"
    done = hopyard("config", "check", "--json", toml=toml)
    told = {fault["key"]: fault["nearest"] for fault in json.loads(done.stdout)}
    assert told == {"time_zone": "Europe/Berlin", "odd": None, "plugins.parot": "parrot"}


SITE = """
from hopyard import Plugin, Rule, Schedule, hookimpl, task
@task("site.work")
def work(n: int = 0): ...
class Site(Plugin):
    @hookimpl
    def register_tasks(self): return [work]
    @hookimpl
    def register_schedules(self): return [Schedule("site.first", "site.work", Rule(every=60))]
"""


def test_config_check_tells_of_schedules_and_channels_that_lead_nowhere(
    hopyard: Hopyard, tmp_path: Path
) -> None:
    (tmp_path / "hopfile.py").write_text(SITE)
    toml = """
[plugins.broken]
enabled = false
[people.ann]
channels = ["https://example.org/x", "xyz://foo"]
[schedules."site.ended"]
task = "site.work"
rrule = "FREQ=DAILY;UNTIL=20200101T000000Z"
[schedules."site.lost"]
task = "site.work"
after = "site.frist"
[schedules."site.one"]
task = "site.work"
after = "site.two"
[schedules."site.two"]
task = "site.work"
after = "site.one"
[schedules."site.args"]
task = "site.work"
every = 60
kwargs = { n = "many" }
"""
    done = hopyard("config", "check", "--json", toml=toml)
    told = {fault["key"]: fault for fault in json.loads(done.stdout)}
    schedules = {f'schedules."site.{name}"' for name in ("ended", "lost", "one", "two")}
    assert set(told) == {*schedules, 'schedules."site.args".kwargs', "people.ann.channels[1]"}, done.stdout
    assert told['schedules."site.lost"']["nearest"] == "site.first"
    assert "n: " in told['schedules."site.args".kwargs']["expected"]
    assert told["people.ann.channels[1]"]["found"] == "xyz://***"


def test_a_foreign_package_with_broken_entry_points_is_named(hopyard: Hopyard, tmp_path: Path) -> None:
    foreign = tmp_path / "site" / "foreign-1.dist-info"
    foreign.mkdir()
    (foreign / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n")
    (foreign / "entry_points.txt").write_text("[hopyard]\nno equals sign\n")
    toml = "[plugins.broken]\nenabled = false\n"
    done = hopyard("plugins", "--json", toml=toml)
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(done.stdout)} >= {"parrot", "broken"}
    assert "the entry points of foreign cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_plugin_prints_is_no_output(hopyard: Hopyard, tmp_path: Path) -> None:
    (tmp_path / "hopfile.py").write_text("print('at import')\n" + SITE)
    done = hopyard("tasks", "--json", toml="[plugins.broken]\nenabled = false\n")
    assert "site.work" in {row["name"] for row in json.loads(done.stdout)}
    assert "at import" in done.stderr


def test_an_import_that_takes_long_is_named_on_standard_error(hopyard: Hopyard, tmp_path: Path) -> None:
    waits = "import logging, threading\nseen = threading.Event()\n"
    waits += "class Look(logging.Handler):\n    def emit(self, record): seen.set()\n"
    waits += "logging.getLogger('hopyard.notice').addHandler(Look())\nassert seen.wait(30)\n"
    (tmp_path / "hopfile.py").write_text(waits + SITE)
    done = hopyard("tasks", "--json", toml="[plugins.broken]\nenabled = false\n")
    assert json.loads(done.stdout)
    assert "plugin site: importing" in done.stderr


def test_config_check_counts_a_plugin_that_cannot_be_loaded(hopyard: Hopyard) -> None:
    done = hopyard("config", "check", "--json", toml='[plugins]\nallow = ["broken"]')
    assert done.returncode == 2
    (fault,) = json.loads(done.stdout)
    assert (fault["key"], fault["plugin"], fault["source"]) == ("plugins.broken", "broken", "broken-dist")
    assert "no voice" in fault["found"]


def test_config_check_of_right_settings_ends_with_0(hopyard: Hopyard) -> None:
    done = hopyard("config", "check", toml='[plugins]\nallow = ["parrot"]')
    assert (done.returncode, done.stderr) == (0, "")
    assert "parrot" in done.stdout


@pytest.mark.parametrize(
    "toml", ['[plugins]\nallow = "parrot"', '[plugins.broken]\nenabled = "flase"', "x ="]
)
def test_config_check_imports_nothing_if_it_cannot_tell_what_is_allowed(toml: str, hopyard: Hopyard) -> None:
    done = hopyard("config", "check", toml=toml)
    assert done.returncode == 2
    assert "no voice" not in done.stderr


def test_config_show_has_value_and_source_of_each_setting(hopyard: Hopyard, tmp_path: Path) -> None:
    toml = 'broker_url = "redis://:secret-word@h"\n[plugins]\nallow = ["parrot"]\n'
    toml += "[plugins.parrot.settings]\nsize = 3"
    environ = {"HOPYARD_PARROT__API_KEY": "my-secret-key", "HOPYARD_LOG__LEVEL": "ERROR"}
    done = hopyard("config", "show", "--json", "--set", "time_zone=Asia/Tokyo", toml=toml, **environ)
    rows = {row["key"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}
    assert rows["broker_url"] == ("***", f"{tmp_path}/hopyard.toml:1")
    assert rows["time_zone"] == ("Asia/Tokyo", "command line")
    assert rows["log.level"] == ("ERROR", "environment variable HOPYARD_LOG__LEVEL")
    assert rows["log.format"] == ("json", "default")
    assert rows["plugins.parrot.settings.size"] == (3, f"{tmp_path}/hopyard.toml:5")
    assert rows["plugins.parrot.settings.api_key"][0] == "***"
    plain = hopyard("config", "show", toml=toml, **environ)
    for text in (done.stdout, plain.stdout, plain.stderr):
        assert "secret-word" not in text
        assert "my-secret-key" not in text


def test_config_schema_has_the_settings_of_installed_plugins(hopyard: Hopyard) -> None:
    done = hopyard("config", "schema", toml='[plugins]\nallow = ["parrot"]')
    plugins = json.loads(done.stdout)["properties"]["plugins"]["properties"]
    assert "parrot" in plugins
    assert done.returncode == 0


@pytest.mark.parametrize("strict", ["false", "true"])
def test_plugins_lists_every_plugin_and_why_it_failed(strict: str, hopyard: Hopyard) -> None:
    """Also where strict mode would refuse to start: this is the command to find out why."""
    toml = f'[plugins]\nallow = ["parrot", "broken", "absent"]\nstrict = {strict}'
    done = hopyard("plugins", "--json", toml=toml)
    records = {record["name"]: record for record in json.loads(done.stdout)}
    assert done.returncode == 0
    assert (records["parrot"]["state"], records["parrot"]["version"]) == ("enabled", "1")
    assert (records["broken"]["state"], records["broken"]["stage"]) == ("quarantined", "import")
    assert "no voice" in records["broken"]["reason"]
    assert records["absent"]["state"] == "missing"
    text = hopyard("plugins", toml=toml).stdout
    for word in ("parrot", "quarantined", "no voice", "pip install hopyard-absent"):
        assert word in text


def test_strict_mode_refuses_other_commands(hopyard: Hopyard) -> None:
    done = hopyard("config", "show", toml='[plugins]\nallow = ["broken"]\nstrict = true')
    assert done.returncode == 1
    assert "no voice" in done.stderr
    assert "plugins.strict" in done.stderr


def test_a_worker_whose_settings_are_faulty_says_so_once(hopyard: Hopyard) -> None:
    """It was started before its supervisor had read them."""
    done = hopyard("worker", toml='[worker]\nlease = "x"\n')
    assert done.returncode == 2
    assert done.stderr.count("worker.lease") == 1
    assert "ended with" not in done.stderr
