"""Settings from a file, the environment and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hopyard import redaction
from hopyard.errors import ConfigError
from hopyard.settings import Settings, duration, load, schema
from pydantic import BaseModel, SecretStr, ValidationError

Load = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """Load from a file with the given text in an otherwise empty folder and environment."""

    def read(text: str | None = None, environ: dict[str, str] | None = None, **options: Any) -> Settings:
        if text is not None:
            (tmp_path / "hopyard.toml").write_text(text)
        return load(directory=tmp_path, environ=environ or {}, **options)

    return read


def test_without_any_source_the_defaults_hold(read: Load, tmp_path: Path) -> None:
    settings = read()
    assert settings.file is None
    assert settings.data == tmp_path / ".hopyard"
    assert (settings.broker_url, settings.database_url, settings.time_zone) == (None, None, "UTC")
    assert settings.worker.model_dump() == {
        "lease": 15.0,
        "heartbeat": 5.0,
        "grace": 10.0,
        "cancel_grace": 5.0,
        "start_limit": 30.0,
    }
    assert settings.retention.model_dump() == {"progress_days": 7, "results_days": 30}
    assert settings.plugin("any").on_failure == "quarantine"


def test_the_command_line_wins_over_environment_file_and_default(read: Load) -> None:
    text = '[worker]\nlease = 1\ngrace = 1\nheartbeat = 0.1\n[log]\nlevel = "ERROR"'
    environ = {"HOPYARD_WORKER__LEASE": "2", "HOPYARD_WORKER__GRACE": "2"}
    settings = read(text, environ, overrides={"worker.lease": 3})
    assert (settings.worker.lease, settings.worker.grace, settings.worker.heartbeat) == (3, 2, 0.1)
    assert settings.source("worker", "lease") == "command line"
    assert settings.source("worker", "grace") == "environment variable HOPYARD_WORKER__GRACE"
    assert settings.source("log", "level") == f"{settings.file}:6"
    assert settings.source("log", "format") == "default"


def test_the_file_is_found_by_option_variable_or_folder(read: Load, tmp_path: Path) -> None:
    for name in ("a", "b", "hopyard"):
        (tmp_path / f"{name}.toml").write_text(f'[queues.{name}]\ngroup = "{name}"')
    assert list(read().queues) == ["hopyard"]
    assert list(read(None, {"HOPYARD_CONFIG": "b.toml"}).queues) == ["b"]
    assert list(read(None, {"HOPYARD_CONFIG": "b.toml"}, config=Path("a.toml")).queues) == ["a"]


def test_the_data_directory_is_absolute_and_relative_to_who_names_it(read: Load, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "h.toml"
    file.write_text('data = "../state"\ndatabase_url = "sqlite:///jobs.db"')
    settings = read(config=file)
    assert settings.data == tmp_path / "state"
    assert settings.database_url == SecretStr(f"sqlite:///{tmp_path}/etc/jobs.db")
    assert read(None, {"HOPYARD_DATA": "env"}, config=file).data == tmp_path / "env"
    assert read(None, {"HOPYARD_DATA": "env"}, config=file, data=Path("line")).data == tmp_path / "line"


def test_references_stand_for_variables_and_files(read: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tgram://from-a-file\n")
    settings = read(
        'broker_url = { env = "BROKER" }\n[people.ann]\nchannels = [{ file = "token" }]\n'
        '[plugins.ai.settings]\nkey = { env = "KEY" }\n[schedules."a.b"]\nkwargs = { file = "report" }',
        {"BROKER": "redis://:secret-word@h/0", "KEY": "value-of-key"},
    )
    assert settings.broker_url == SecretStr("redis://:secret-word@h/0")
    assert settings.people["ann"].channels == [SecretStr("tgram://from-a-file")]
    assert settings.plugin("ai").settings == {"key": "value-of-key"}
    assert settings.schedules["a.b"].kwargs == {"file": "report"}, "a table of free names is no reference"
    assert settings.masked("plugins", "ai", "settings", "key")
    assert redaction.redact("tgram://from-a-file secret-word") == "*** ***"
    assert "secret-word" not in repr(settings)


def test_variables_reach_plugins_by_name_and_by_path(read: Load) -> None:
    environ = {
        "HOPYARD_AI__MODEL": "m",
        "HOPYARD_AI__LIMITS__TOKENS": "5",
        "HOPYARD_PLUGINS__AI__REQUIRED": "true",
        "HOPYARD_PLUGINS__EMAIL__SETTINGS__HOST": "h",
        "HOPYARD_SYNC__URL": "u",
    }
    settings = read("[plugins.sync]", environ, plugin_names=["ai"])
    assert settings.plugin("ai").settings == {"model": "m", "limits": {"tokens": "5"}}
    assert settings.plugin("ai").required
    assert settings.plugin("email").settings == {"host": "h"}
    assert settings.plugin("sync").settings == {"url": "u"}, "a plugin named in the file counts as well"


def test_names_with_dots_are_reached_from_environment_and_command_line(read: Load) -> None:
    environ = {
        "HOPYARD_TASKS__AI__ANALYZE__QUEUE": "ai.x",
        "HOPYARD_TASKS__AI__ANALYZE__RETRY__BACKOFF": "2m",
        "HOPYARD_QUEUES__AI__SLOTS": "3",
        "HOPYARD_SCHEDULES__AI__NIGHTLY__KWARGS": '{"n": 1}',
    }
    settings = read(None, environ, overrides={'schedules."ai.nightly".every': "1h", "queues.ai.x.slots": 4})
    assert settings.tasks["ai.analyze"].queue == "ai.x"
    assert settings.tasks["ai.analyze"].retry.backoff == 120
    assert {name: queue.slots for name, queue in settings.queues.items()} == {"ai": 3, "ai.x": 4}
    assert (settings.schedules["ai.nightly"].every, settings.schedules["ai.nightly"].kwargs) == (
        3600,
        {"n": 1},
    )


def test_values_that_begin_with_a_bracket_are_json(read: Load) -> None:
    environ = {"HOPYARD_PLUGINS__ALLOW": '["ai", "email"]', "HOPYARD_LOG": '{"level": "debug"}'}
    settings = read(None, environ)
    assert settings.plugins.allow == ["ai", "email"]
    assert settings.log.level == "DEBUG"


def test_variables_that_are_not_settings_are_left_alone(read: Load) -> None:
    environ = {
        "HOPYARD_INTERNAL_DEBUG": "1",
        "HOPYARD_SERVICE_HOST": "10.0.0.1",
        "HOPYARD_PORT": "tcp://10.0.0.1:80",
        "HOPYARD_WEB_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert read(None, environ).log.level == "INFO"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().time_zone = "Europe/Berlin"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("2.5", 2.5),
        (7, 7),
        ("250ms", 0.25),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10x", "-5", -5, True, float("nan"), float("inf"), "1h-", "ten"])
def test_what_is_no_duration(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


def test_the_schema_covers_plugins_and_references() -> None:
    class Deep(BaseModel):
        size: int

    class Model(BaseModel):
        key: SecretStr
        deep: Deep

    document = schema({"ai": Model})
    plugins = document["properties"]["plugins"]["properties"]
    settings = document["$defs"][plugins["ai"]["properties"]["settings"]["$ref"].rpartition("/")[2]]
    assert settings["required"] == ["key", "deep"]
    assert {"$ref": "#/$defs/Reference"} in settings["properties"]["key"]["anyOf"]
    assert "Deep" in document["$defs"]
    assert set(document["properties"]) == set(Settings.model_fields)


OIDC = '[web.oidc]\nissuer = "https://id.test/realms/main"\nclient_id = "hopyard"\n'


def test_logging_in_by_a_provider_is_set_in_the_file_or_the_environment(read: Load) -> None:
    text = (
        OIDC + 'client_secret = { env = "SECRET" }\n[web.oidc.roles]\nops = "operator"\n"a.b c" = "admin"\n'
    )
    oidc = read(text, {"SECRET": "sesame-open"}).web.oidc
    assert oidc is not None
    assert oidc.roles == {"ops": "operator", "a.b c": "admin"}
    assert oidc.client_secret == SecretStr("sesame-open")
    assert redaction.redact("it is sesame-open") == "it is ***"
    assert (oidc.default_role, oidc.person_claim, oidc.scopes) == (
        None,
        "sub",
        ["openid", "profile", "email"],
    )
    environ = {
        "HOPYARD_WEB__OIDC__ISSUER": "http://127.0.0.1:8080",
        "HOPYARD_WEB__OIDC__CLIENT_ID": "x",
        "HOPYARD_WEB__OIDC__ROLES": '{"ops": "viewer"}',
    }
    oidc = read("", environ).web.oidc
    assert oidc is not None
    assert (oidc.issuer, oidc.roles) == ("http://127.0.0.1:8080", {"ops": "viewer"})
    assert read("").web.oidc is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[web.oidc]\nclient_id = 'x'\ndefault_role = 'viewer'", "web.oidc"),
        ("[web.oidc]\nissuer = 'https://id.test'\ndefault_role = 'viewer'", "web.oidc"),
        (OIDC, "web.oidc"),
        (OIDC + "default_role = 'root'", "web.oidc.default_role"),
        (OIDC + "default_role = 'viewer'\nscopes = ['email']", "web.oidc.scopes"),
        (OIDC + "default_role = 'viewer'\nclient_secret = ''", "web.oidc.client_secret"),
        (OIDC + "default_role = 'viewer'\n[web.oidc.plugins]\nops = ['mail']", "web.oidc"),
        (OIDC + "default_role = 'viewer'\n[web]\nhost = '0.0.0.0'", "web"),
        *(
            (f"[web.oidc]\nclient_id = 'x'\ndefault_role = 'viewer'\nissuer = '{issuer}'", "web.oidc.issuer")
            for issuer in (
                *(
                    "http://id.test",
                    "http://10.0.0.1",
                    "id.test",
                    "https://",
                    "https://a@id.test",
                    "ftp://id.test",
                ),
                *(
                    "https://id.test?x=1",
                    "https://id.test#x",
                    "https://id.test:x",
                    "https://[",
                    "https://é.test",
                ),
            )
        ),
    ],
)
def test_a_provider_that_cannot_be_right_is_refused(read: Load, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert key in [fault.key for fault in refused.value.faults]
