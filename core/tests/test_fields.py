"""Types of settings: what they take, and that they refuse the rest with what was expected."""

from __future__ import annotations

from typing import Any

import pytest
from hopyard import fields
from pydantic import SecretStr, TypeAdapter, ValidationError


def made(kind: Any, value: str) -> Any:
    return TypeAdapter(kind).validate_python(value)


GOOD = ["https://api.example.com", "http://127.0.0.1:8080", "https://[::1]/", "HTTPS://EXAMPLE.COM"]
BAD = [
    *("", "example.com", "ftp://example.com", "https://", "https://a:0/", "https://a:99999/", "http://[::1"),
    *("https://a b/", "https://a/\n", "https://ada@example.com", "https://ada:secret@example.com/"),
]


@pytest.mark.parametrize("value", GOOD)
@pytest.mark.parametrize("kind", [fields.Url, fields.BaseUrl, fields.Origin])
def test_an_address_stays_as_it_is(kind: Any, value: str) -> None:
    assert made(kind, value) == value


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("kind", [fields.Url, fields.BaseUrl, fields.Origin])
def test_what_is_no_address_is_refused(kind: Any, value: str) -> None:
    with pytest.raises(ValidationError, match="expected an address"):
        made(kind, value)


def test_each_kind_of_address_has_its_own_parts() -> None:
    assert made(fields.Url, "https://a.example/v1?key=1#x") == "https://a.example/v1?key=1#x"
    assert made(fields.BaseUrl, "https://a.example/v1") == "https://a.example/v1"
    for value in ("https://a.example/v1?key=1", "https://a.example/v1#x"):
        with pytest.raises(ValidationError, match=r"without \? and #"):
            made(fields.BaseUrl, value)
    for value in ("https://a.example/v1", "https://a.example//"):
        with pytest.raises(ValidationError, match="without a path"):
            made(fields.Origin, value)


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        (fields.Credential, "sk-1!~", True),
        (fields.Credential, "", False),
        (fields.Credential, "a b", False),
        (fields.Credential, "sk-ä", False),
        (fields.Credential, "sk-1\n", False),
        (fields.Secret, "pass wörd", True),
        (fields.Secret, "", False),
        (fields.Secret, "two\nlines", False),
        (fields.Secret, "nul\0", False),
    ],
)
def test_secrets_are_what_can_be_sent(kind: Any, value: str, good: bool) -> None:
    if good:
        secret = made(kind, value)
        assert isinstance(secret, SecretStr)
        assert secret.get_secret_value() == value
        return
    with pytest.raises(ValidationError, match="expected"):
        made(kind, value)
