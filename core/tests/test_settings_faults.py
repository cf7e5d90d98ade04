"""What is wrong in the settings is told completely: where, which key, what was found and expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hopyard.errors import ConfigError, Fault
from hopyard.settings import Settings, examine, load

WRONG = """\
broker_url = "http://user:hunter22@host"
time_zone = "Europe/Berln"
brokr_url = "x"
database_url = { env = "DATABASE" }

[plugins]
allow = "ai"

[plugins.ai]
requird = true

[queues.ai]
slots = "eight"
priority = true

[tasks."ai.x"]
time_limit = "10x"
retry = { max_retries = -1, on = ["transiet"] }

[tasks.ai.y]
queue = "ai"

[schedules."a.b"]
cron = "61 * * * *"

[schedules."a.c"]
cron = "@daily"
every = "2m"

[people.anna]
channels = [{ file = "absent" }]

[alerts]
to = ["ana"]

[egress]
allow = ["10.0.0.0/8", "bad host"]

[log]
format = "xml"
"""

# key: (line, words in `found`, words in `expected`, nearest)
EXPECTED = {
    "broker_url": (1, "http://***", "rediss", None),
    "time_zone": (2, '"Europe/Berln"', "IANA time zone", "Europe/Berlin"),
    "brokr_url": (3, "unknown key", "broker_url", "broker_url"),
    "database_url": (4, "DATABASE, which is not set", "DATABASE to be set", None),
    "plugins.allow": (7, '"ai"', "a list", None),
    "plugins.ai.requird": (10, "unknown key", "on_failure", "required"),
    "queues.ai.slots": (13, '"eight"', "a whole number", None),
    "queues.ai.priority": (14, "true", "a whole number", None),
    'tasks."ai.x".time_limit': (17, '"10x"', "a duration", None),
    'tasks."ai.x".retry.max_retries': (18, "-1", "at least 0", None),
    'tasks."ai.x".retry.on[0]': (18, '"transiet"', "transient", "transient"),
    "tasks.ai.y": (20, "unknown key", '[tasks."ai.y"]', None),
    'schedules."a.b".cron': (24, '"61 * * * *"', "five fields", None),
    'schedules."a.c"': (26, "a table", "one of `every`, `cron`", None),
    "people.anna.channels[0]": (31, "absent: No such file", "readable", None),
    "alerts.to[0]": (34, '"ana"', "[people]", "anna"),
    "egress.allow[1]": (37, '"bad host"', "host:port", None),
    "log.format": (40, '"xml"', "'json' or 'text'", None),
}


@pytest.fixture
def faults_of(tmp_path: Path) -> Callable[..., list[Fault]]:
    def faults_of(text: str = "", environ: dict[str, str] | None = None, **options: Any) -> list[Fault]:
        (tmp_path / "hopyard.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(directory=tmp_path, environ=environ or {}, **options)
        return list(caught.value.faults)

    return faults_of


def test_all_faults_of_a_file_are_told_at_once(faults_of: Callable[..., list[Fault]], tmp_path: Path) -> None:
    faults = {fault.key: fault for fault in faults_of(WRONG)}
    assert set(faults) == set(EXPECTED)
    for key, (line, found, expected, close) in EXPECTED.items():
        fault = faults[key]
        assert fault.source == f"{tmp_path}/hopyard.toml:{line}", key
        assert found in fault.found, key
        assert expected in fault.expected, key
        assert fault.nearest == close, key
    assert "hunter22" not in str(list(faults.values()))


def test_what_is_right_is_kept_beside_the_faults(tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text(WRONG)
    settings, faults = examine(directory=tmp_path, environ={})
    assert len(faults) == len(EXPECTED)
    assert isinstance(settings, Settings)
    assert set(settings.queues) == {"ai"}


@pytest.mark.parametrize(
    ("variable", "value", "key", "close"),
    [
        ("HOPYARD_BROKR_URL", "x", "HOPYARD_BROKR_URL", "HOPYARD_BROKER_URL"),
        ("HOPYARD_LOGS__LEVEL", "x", "HOPYARD_LOGS__LEVEL", "HOPYARD_LOG__LEVEL"),
        ("HOPYARD_EMIAL__HOST", "x", "HOPYARD_EMIAL__HOST", "HOPYARD_EMAIL__HOST"),
        ("HOPYARD_LOG_LEVEL", "x", "HOPYARD_LOG_LEVEL", "HOPYARD_LOG__LEVEL"),
        ("HOPYARD_EMAIL_HOST", "x", "HOPYARD_EMAIL_HOST", "HOPYARD_EMAIL__HOST"),
        ("HOPYARD_CONFG", "x", "HOPYARD_CONFG", "HOPYARD_CONFIG"),
        ("HOPYARD_LOG__LEVL", "x", "log.levl", "level"),
        ("HOPYARD_LOG__LEVEL", "loud", "log.level", None),
        ("HOPYARD_EGRESS__ALLOW", "[1", "egress.allow", None),
    ],
)
def test_faults_in_the_environment_name_the_variable(
    variable: str, value: str, key: str, close: str | None, faults_of: Callable[..., list[Fault]]
) -> None:
    (fault,) = faults_of(environ={variable: value}, plugin_names=["email"])
    assert (fault.key, fault.nearest) == (key, close)
    assert variable in f"{fault.source} {fault.key}"


def test_faults_on_the_command_line_say_so(faults_of: Callable[..., list[Fault]]) -> None:
    faults = faults_of(overrides={"log.level": "loud", "not a key": 1})
    assert {fault.source for fault in faults} == {"command line"}


def test_a_syntax_error_is_a_fault_with_its_line(faults_of: Callable[..., list[Fault]]) -> None:
    (fault,) = faults_of("a = 1\nb =\n")
    assert fault.source.endswith("hopyard.toml:2")
    assert "syntax error" in fault.found


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({"config": Path("absent.toml")}, "command line"),
        ({"environ": {"HOPYARD_CONFIG": "absent.toml"}}, "environment variable HOPYARD_CONFIG"),
    ],
)
def test_a_file_that_was_named_must_exist(
    options: dict[str, Any], source: str, faults_of: Callable[..., list[Fault]]
) -> None:
    (fault,) = faults_of(**options)
    assert fault.source == source
    assert "absent.toml" in fault.found


def test_a_fault_in_a_plugins_settings_is_left_to_the_plugin(tmp_path: Path) -> None:
    """It must end only that plugin, so `load` keeps it for the loader."""
    (tmp_path / "hopyard.toml").write_text('[plugins.ai.settings]\napi_key = { env = "ABSENT_KEY" }')
    settings = load(directory=tmp_path, environ={})
    (fault,) = settings.plugin_faults["ai"]
    assert (fault.key, fault.plugin) == ("plugins.ai.settings.api_key", "ai")
    assert "ABSENT_KEY" in fault.found


def test_a_fault_that_a_stronger_source_replaces_is_none(tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text('broker_url = { env = "ABSENT" }')
    settings = load(directory=tmp_path, environ={"HOPYARD_BROKER_URL": "redis://h"})
    assert settings.broker_url is not None
