"""Secrets do not leave the process in text."""

from __future__ import annotations

from collections.abc import Iterator
from re import _constants as constants  # type: ignore[attr-defined]  # no public way to look at a pattern
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from hopyard import redaction
from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a registry of its own."""
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_longest_first", ())


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
        ("GET /x?key=abc&monkey=1", "GET /x?key=***&monkey=1"),
        ("connect(user=me, password=hunter2)", "connect(user=me, password=***"),
        ("redis+socket://u:pw@h", "redis+socket://u:***@h"),
    ],
)
def test_what_looks_like_a_credential_is_replaced_unregistered(text: str, redacted: str) -> None:
    assert redaction.redact(text) == redacted


def test_registered_secrets_are_replaced_in_every_spelling() -> None:
    redaction.register('pass"word/1')
    assert redaction.redact('a pass"word/1 b') == "a *** b"
    assert redaction.redact('{"a": "pass\\"word/1"}') == '{"a": "***"}'
    assert redaction.redact("?x=pass%22word%2F1") == "?x=***"


def test_a_secret_with_half_a_character_is_replaced_as_well() -> None:
    redaction.register("half-\udc80-a-character")
    assert redaction.redact("it is half-\udc80-a-character!") == "it is ***!"


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


HOSTILE = (
    "f" * 1_000_000 + "://x",
    "a://" * 250_000,
    "://a:" * 200_000,
    "x://" + "a" * 1_000_000,
    "x://a:" + "b" * 1_000_000,
    "bearer " + " " * 1_000_000,
    "authorization" + ":" * 1_000_000,
    "bearer" * 170_000,
    "sk-" * 330_000,
    "password" * 125_000 + "=",
    "=" + "?" * 1_000_000,
    "=" + "?api_" * 200_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:8]}-{text[-8:]}")
def test_a_long_hostile_text_is_masked_at_all(text: str) -> None:
    """In time that grows with the square of the length, each of these would take minutes to hours."""
    redaction.register("secret-of-theirs")
    assert "secret-of-theirs" not in redaction.redact(text + " secret-of-theirs")


def repeats(pattern: Any) -> Iterator[tuple[Any, int, bool]]:
    """Yield kind and upper bound of each repetition in a parsed pattern, and whether another is within."""
    for kind, value in pattern:
        if kind in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            inner = [*repeats(value[2])]
            yield kind, int(value[1]), bool(inner)
            yield from inner
        elif kind is constants.SUBPATTERN:
            yield from repeats(value[-1])
        elif kind is constants.BRANCH:
            for branch in value[1]:
                yield from repeats(branch)


@pytest.mark.parametrize("name", ["_USERINFO", "_ASSIGNED", "_BEARER", "_API_KEY"])
def test_a_pattern_takes_linear_time(name: str) -> None:
    """An attempt at one place goes a bounded way before it fails: only a match that succeeds may be long."""
    pattern = getattr(redaction, name)
    parsed = parser.parse(pattern.pattern, pattern.flags)
    for kind, most, nested in repeats(parsed):
        assert not nested
        assert most <= 4096 or kind is constants.POSSESSIVE_REPEAT
    endless = [kind for kind, most, _ in repeats(parsed) if most > 4096]
    if endless:
        assert parsed[-1][0] is constants.POSSESSIVE_REPEAT, "what has no bound comes last, and cannot fail"
        assert len(endless) == 1


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password", "DB_PASSWORD", "token", "authToken", "api_key", "apiKey")),
        *((name, True) for name in ("Authorization", "client_secret", "secret-key", "credentials")),
        *((name, False) for name in ("tokens", "max_tokens", "key", "monkey", "author", "secretary", "")),
    ],
)
def test_a_name_says_whether_its_value_is_a_secret(name: str, secret: bool) -> None:
    assert redaction.names_secret(name) is secret


def test_values_under_secret_names_are_masked_at_any_depth() -> None:
    data = {
        "user": "ada",
        "password": 12345,
        "list": [{"token": ["a"], "n": 1}],
        "secret": None,
        "pwd": False,
    }
    assert redaction.masked(data) == {
        "user": "ada",
        "password": "***",
        "list": [{"token": "***", "n": 1}],
        "secret": None,
        "pwd": False,
    }
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert redaction.masked(deep)
