"""Settings that cannot work are refused with what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hopyard_sync import SyncSettings
from pydantic import ValidationError

OAUTH = {"token_url": "https://id.example.org/token", "client_id": "c", "refresh_token": "r-123456"}
STREAMS = {"things": {"path": "/things"}}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"calendars": {"work": {}}}, "expected `url`"),
        ({"calendars": {"work": {"url": "ftp://x"}}}, "expected an address"),
        ({"calendars": {"work": {"url": "https://a:b@x"}}}, "without a user and a password"),
        ({"calendars": {"work": {"url": "https://x", "user": "a"}}}, "both `user` and `password`"),
        ({"calendars": {"work": {"kind": "google"}}}, "expected `oauth`"),
        ({"calendars": {"w": {"kind": "google", "oauth": OAUTH, "user": "a"}}}, "are for CalDAV"),
        (
            {"calendars": {"w": {"kind": "google", "oauth": {**OAUTH, "refresh_token": None}}}},
            "nothing else gives",
        ),
        ({"calendars": {"Work!": {"url": "https://x"}}}, "lower-case letters"),
        ({"calendars": {"x": {"url": "https://x"}}, "notion": {"x": {"token": "t"}}}, "two connections"),
        ({"mailboxes": {"post": {"host": "h", "user": "u"}}}, "either `password` or `oauth`"),
        ({"mailboxes": {"post": {"host": "h", "user": "u", "password": "p", "security": "none"}}}, "tls"),
        ({"apis": {"shop": {"url": "https://x", "streams": {}}}}, "one stream at least"),
        ({"apis": {"shop": {"url": "https://x", "streams": {"t": {"path": "things"}}}}}, "begins with one /"),
        ({"apis": {"shop": {"url": "https://x", "streams": STREAMS, "auth": {"kind": "magic"}}}}, "magic"),
        (
            {
                "apis": {
                    "shop": {
                        "url": "https://x",
                        "streams": {
                            "t": {
                                "path": "/t",
                                "increment": {"field": "f", "parameter": "p"},
                                "removes": True,
                            }
                        },
                    }
                }
            },
            "never sees all rows",
        ),
        ({"others": {"x": {"kind": "rest"}}}, "its own section: apis"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        SyncSettings.model_validate(settings)


def test_secrets_are_masked() -> None:
    settings = SyncSettings.model_validate({"notion": {"wiki": {"token": "ntn-secret"}}})
    assert "ntn-secret" not in repr(settings)
    assert "ntn-secret" not in settings.model_dump_json()
