"""Whatever stands in the settings, each fault is told with its key, and nothing else is raised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hopyard import Plugin, PluginSettings, Queue, Rule, Schedule, hookimpl, task
from hopyard.errors import ConfigError, Fault
from hopyard.loading import examine_plugins
from hopyard.settings import Settings, examine, load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *(
                "Europe/Berlin",
                "Europe",
                "2m",
                "500ms",
                "1e9d",
                "@daily",
                "*/90 * * * *",
                "FREQ=DAILY",
                "~x/y",
            ),
            *(
                "FREQ=YEARLY;BYEASTER=0",
                "10.0.0.0/8",
                "*.example",
                "redis://h",
                "sqlite:///x",
                "https://",
                "a\0b",
            ),
            *(
                "ai.work",
                "ai.tick",
                "ai",
                "xyz://foo",
                "[1",
                "{",
                "[" * 2000,
                "{}",
                '{"env": "HOME"}',
                "\udcff",
            ),
        ]
    ),
)
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXT,
    st.builds(lambda: 10**5000),
    st.datetimes(),
)
VALUE = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SECTIONS: dict[str, Any] = {
    "plugins": ["allow", "strict", "ai", "aii"],
    "queues": ["ai", "ia"],
    "tasks": ["ai.work", "ai.wrok"],
    "schedules": ["ai.tick", "ai.own"],
    "people": ["ann"],
    "worker": ["lease", "heartbeat", "grace", "start_limit", "odd"],
    "retention": ["results_days", "progress_days"],
    "egress": ["allow"],
    "log": ["level", "format"],
    "alerts": ["to"],
}
LEAVES = [
    *(
        "slots",
        "priority",
        "group",
        "queue",
        "retry",
        "time_limit",
        "task",
        "every",
        "cron",
        "rrule",
        "after",
    ),
    *("zone", "kwargs", "enabled", "channels", "settings", "required", "misfire", "odd"),
]


def document() -> st.SearchStrategy[dict[str, Any]]:
    """A settings document: the right sections and keys, with values right or odd."""
    entry = st.dictionaries(st.sampled_from(LEAVES), VALUE, max_size=4)
    parts = {
        name: VALUE | st.dictionaries(st.sampled_from(keys), entry | VALUE, max_size=3)
        for name, keys in SECTIONS.items()
    }
    top = dict.fromkeys(("broker_url", "database_url", "time_zone", "data", "odd"), VALUE)
    return st.fixed_dictionaries({}, optional=parts | top)


@task("ai.work")
def work(n: int = 0) -> None: ...


class AI(Plugin[PluginSettings]):
    @hookimpl
    def register_tasks(self) -> Any:
        return [work]

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("ai")]

    @hookimpl
    def register_schedules(self) -> Any:
        return [Schedule("ai.tick", "ai.work", Rule(every=60))]


def tell(faults: list[Fault]) -> None:
    for fault in faults:
        assert fault.expected
        str(fault).encode()
        assert len(str(fault)) < 10_000


def examined(folder: Path, **given: Any) -> None:
    """Load settings and plugins by them: all faults are told, and what is right is left."""
    found, faults = examine(directory=folder, environ=given.pop("environ", {}), **given)
    tell(faults)
    plugins = examine_plugins(found, role="cli", builtin={"ai": AI}, distributions=[])
    tell([*plugins.faults, *plugins.warnings])
    assert all(options.priority in range(10) for options in plugins.options.values())
    assert all(queue.slots > 0 for queue in plugins.queues.values())
    assert all(schedule.rule.zone for schedule in plugins.schedules.values())


GENERATED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@GENERATED
@given(document())
def test_values_of_any_kind(tmp_path: Path, values: dict[str, Any]) -> None:
    """As the command line hands them in, below the keys of a settings file."""
    examined(tmp_path, overrides=values)


@GENERATED
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *(
                    "HOPYARD_TIME_ZONE",
                    "HOPYARD_WORKER__LEASE",
                    "HOPYARD_PEOPLE",
                    "HOPYARD_QUEUES__AI__SLOTS",
                ),
                *("HOPYARD_SCHEDULES__AI__TICK__EVERY", "HOPYARD_CONFIG", "HOPYARD_DATA", "HOPYARD_AI__X"),
                *(
                    "HOPYARD_\udcff",
                    "HOPYARD_PLUGINS__\udcff__ENABLED",
                    "HOPYARD___",
                    "HOPYARD_EGRESS__ALLOW",
                ),
            ]
        ),
        TEXT,
        max_size=5,
    )
)
def test_variables_of_any_bytes(tmp_path: Path, environ: dict[str, str]) -> None:
    examined(tmp_path, environ=environ, plugin_names=["ai"])


@GENERATED
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_files_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hopyard.toml").write_bytes(content)
    examined(tmp_path)


Read = Callable[..., list[Fault]]


@pytest.fixture
def faults(tmp_path: Path) -> Read:
    """Gives the faults of a settings file."""

    def read(text: str, environ: Mapping[str, str] | None = None, **options: Any) -> list[Fault]:
        (tmp_path / "hopyard.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(directory=tmp_path, environ=environ or {}, **options)
        tell([*caught.value.faults])
        return [*caught.value.faults]

    return read


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("retention.results_days = 36500", "retention.results_days", "at most 3660"),
        ("worker.lease = '2h'", "worker.lease", "at most 3600"),
        ("worker.lease = 0.001", "worker.lease", "at least 1"),
        ("worker.heartbeat = 0.001", "worker.heartbeat", "at least 0.05"),
        ("worker.start_limit = 0", "worker.start_limit", "at least 0.1"),
        ("worker.grace = '2d'", "worker.grace", "at most 86400"),
        ("worker.cancel_grace = -1", "worker.cancel_grace", "a duration"),
        ("tasks.x.time_limit = 0.001", "tasks.x.time_limit", "at least 0.1"),
        ("tasks.x.retry.backoff = '400d'", "tasks.x.retry.backoff", "at most"),
        ("broker_url = 'redis://host:99999/0'", "broker_url", "from 1 to 65535"),
        ("broker_url = 'redis://host:0/0'", "broker_url", "from 1 to 65535"),
        ("broker_url = 'amqp://a:1;amqp://b:x'", "broker_url", "from 1 to 65535"),
        ("database_url = 'postgresql+asyncpg://h:0x1/db'", "database_url", "from 1 to 65535"),
        ("database_url = 'postgresql://u:p@[::1]:66666/db'", "database_url", "from 1 to 65535"),
        ("schedules.a = {task = 'x', every = 0}", "schedules.a.every", "from 1 second"),
        ("schedules.a.kwargs = {right = 1, n = nan}", "schedules.a.kwargs.n", "finite"),
        ("schedules.a.kwargs = {n = [{day = 2026-01-01}]}", "schedules.a.kwargs.n", "date is not JSON"),
        ("queues.ai.slots = 1000000", "queues.ai.slots", "at most 10000"),
        ("tasks.x.retry.max_retries = 100000", "tasks.x.retry.max_retries", "at most 1000"),
        ("tasks.x.time_limit = '9999999d'", "tasks.x.time_limit", "at most"),
        ("schedules.a.every = '500ms'", "schedules.a.every", "from 1 second to 100 years"),
        ("schedules.a.rrule = 'FREQ=YEARLY;BYEASTER=0'", "schedules.a.rrule", "a part of RFC 5545"),
        ("schedules.a.cron = '*/90 * * * *'", "schedules.a.cron", "a step of at most 60"),
        ("people.ann.channels = ['nourl']", "people.ann.channels[0]", "https://host"),
        ("people.ann.channels = ['a://b', 'https://']", "people.ann.channels[1]", "https://host"),
        ('data = "a\\u0000b"', "data", "without NUL"),
        ('data = { file = "a\\u0000b" }', "data", "readable text file"),
        ('data = "~nobodyatall/x"', "data", "a folder"),
        ('database_url = "sqlite:///a\\u0000b"', "database_url", "without NUL"),
        ("time_zone = " + "[" * 40 + "]" * 40, "time_zone", "30 levels"),
        ("egress.allow = ['*.']", "egress.allow[0]", "*.domain"),
    ],
)
def test_what_is_out_of_bounds_is_told(faults: Read, text: str, key: str, expected: str) -> None:
    (fault,) = faults(text)
    assert fault.key == key
    assert expected in fault.expected


def test_lists_a_thousand_deep_are_told(faults: Read) -> None:
    (fault,) = faults("time_zone = " + "[" * 5000 + "]" * 5000)
    assert "levels deep" in fault.found
    (fault,) = faults("", {"HOPYARD_TIME_ZONE": "[" * 100_000})
    assert (fault.key, "JSON" in fault.expected) == ("time_zone", True)


def test_a_number_of_thousands_of_digits_is_told(faults: Read) -> None:
    assert "digits" in faults("retention.results_days = " + "9" * 5000)[0].found
    (fault,) = faults("retention.results_days = 0x" + "f" * 5000)
    assert (fault.key, "64 bits" in fault.found) == ("retention.results_days", True)


def test_bytes_that_are_not_utf8_are_told(faults: Read) -> None:
    told = faults("", {"HOPYARD_TIME_ZONE": "\udcff", "HOPYARD_\udcff": "x", "HOPYARD_DATA": "d\udcff"})
    assert {fault.key for fault in told} == {"time_zone", "HOPYARD_\\udcff", "data"}


def test_right_bounds_are_right(tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text(
        "[retention]\nresults_days = 3660\n[egress]\nallow = ['*.internal.example', '[::1]:80']\n"
        "[worker]\nlease = 1\nheartbeat = 0.05\ngrace = 0\n"
        "[schedules.a]\nevery = '1s'\nkwargs = { a = [1, { b = 'x' }] }\n"
        "[people.ann]\nchannels = ['https://h/x', 'json://h', 'xyz://foo']\n"
    )
    assert isinstance(load(directory=tmp_path, environ={}), Settings)
    assert json.dumps(load(directory=tmp_path, environ={}).model_dump(mode="json"))


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p%40:#/w@h:6379/0",
        "redis+socket:///run/x.sock?db=1",
        "sentinel://a:26379;sentinel://b:26379/0",
        "amqp://u:p@h:5672//",
        "memory://",
        "amqp://[::1]:5672/",
    ],
)
def test_right_addresses_are_right(tmp_path: Path, url: str) -> None:
    assert load(directory=tmp_path, environ={"HOPYARD_BROKER_URL": url}).broker_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p#/:w@h:5432/db?x=a:b",
        "postgresql:///db?host=/run:5432",
        "postgresql://h:/db",
        "sqlite:///a:b.db",
        "postgresql+asyncpg://[::1]:5432/db",
    ],
)
def test_right_databases_are_right(tmp_path: Path, url: str) -> None:
    assert load(directory=tmp_path, environ={"HOPYARD_DATABASE_URL": url}).database_url
