"""Secrets do not leave the process in text."""

from __future__ import annotations

import pytest
from hopyard import redaction
from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a registry of its own."""
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("nothing to hide: user@host, a=b", "nothing to hide: user@host, a=b"),
        ("redis://:pa55@h:1/0 ok", "redis://:***@h:1/0 ok"),
        ("at postgresql+asyncpg://u:p:w@db/x?y=1", "at postgresql+asyncpg://u:***@db/x?y=1"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic dTpw'}", "{'authorization': 'Basic ***'}"),
        ("key sk-proj-abcdefgh12345 used", "key *** used"),
        ("GET /x?api_key=abc&n=1", "GET /x?api_key=***&n=1"),
    ],
)
def test_what_looks_like_a_credential_is_replaced_unregistered(text: str, redacted: str) -> None:
    assert redaction.redact(text) == redacted


def test_registered_secrets_are_replaced_in_every_spelling() -> None:
    redaction.register('pass"word/1')
    assert redaction.redact('a pass"word/1 b') == "a *** b"
    assert redaction.redact('{"a": "pass\\"word/1"}') == '{"a": "***"}'
    assert redaction.redact("?x=pass%22word%2F1") == "?x=***"


def test_the_longest_of_overlapping_secrets_is_replaced_whole() -> None:
    redaction.register("secret")
    redaction.register("secret-longer")
    assert redaction.redact("secret-longer secret") == "*** ***"


def test_short_values_are_not_registered() -> None:
    redaction.register("short")
    assert redaction.redact("a short text") == "a short text"


def test_of_a_servers_address_only_the_password_is_secret() -> None:
    redaction.register("redis://localhost:6379/0")
    redaction.register("amqp://user:pa%23ssword@rabbit//")
    assert redaction.redact("redis://localhost:6379/0 pa#ssword") == "redis://localhost:6379/0 ***"
    redaction.register("tgram://bot-token/chat")
    assert redaction.redact("tgram://bot-token/chat") == "***"


def test_secrets_in_models_are_found_at_any_depth() -> None:
    class Inner(BaseModel):
        model_config = ConfigDict(extra="allow")
        keys: list[SecretStr] = []
        raw: SecretBytes = SecretBytes(b"")

    class Outer(BaseModel):
        inner: dict[str, Inner]
        plain: str

    extra = {"keys": [SecretStr("first-key")], "raw": b"second-key", "more": SecretStr("third-key")}
    redaction.register_model(Outer.model_validate({"inner": {"x": extra}, "plain": "not-a-secret"}))
    assert redaction.redact("first-key second-key third-key not-a-secret") == "*** *** *** not-a-secret"
