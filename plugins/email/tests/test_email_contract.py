"""The plugin keeps the contract of plugins, and says of itself how it is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hopyard import Health, portal
from hopyard.testing import Hop, PluginContract
from hopyard_email import Email
from hopyard_email.limits import Limit

SETTINGS = {
    "plugins.email.settings": {
        "accounts": {"main": {"host": "mail.example.org", "sender": "alice@example.org"}},
        "sandbox": {"folder": "mail-of-the-contract"},
        "summary": {"people": ["*"]},
    }
}


class TestContract(PluginContract):
    """The rules for all plugins."""

    plugin = Email
    settings = SETTINGS
    examples: ClassVar = {
        "email.send": [{"to": ["ada@example.org"], "subject": "Hello", "text": "Hi"}],
        "email.send_scheduled_email": [
            {"to": ["ada@example.org"], "at": "2199-01-01T08:00:00", "subject": "Hello", "text": "Hi"}
        ],
        "email.process_email_queue": [{}],
        "email.send_daily_email_summary": [{}],
        "email.categorize_incoming_email": [{}],
        "email.list_mail": [{}],
        "email.suppress": [{"address": "ada@example.org"}],
    }

    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sandboxed mail is written below the current folder."""
        monkeypatch.chdir(tmp_path)


def test_sending_needs_a_persons_word(offline: Hop) -> None:
    for name in ("email.send", "email.send_scheduled_email", "email.suppress"):
        tool = offline.hopyard.task(name).tool
        assert tool is not None
        assert tool.approval
    assert offline.hopyard.task("email.process_email_queue").tool is None


def test_the_outbox_is_looked_at_every_five_minutes(offline: Hop) -> None:
    due = offline.due_between("email.process_email_queue", datetime(2027, 3, 1, 9), datetime(2027, 3, 1, 10))
    assert len(due) == 12


def test_health_says_what_a_person_must_do(offline: Hop) -> None:
    found = offline.hopyard.plugins.health_checks
    checks = {check.name: check.run for plugin, check in found if plugin == "email"}

    async def look(name: str) -> Health:
        return await checks[name]()

    def check(name: str) -> Health:
        return portal.run(look(name), within_loop=True)

    assert (check("outbox").ok, check("accounts").ok) == (True, True)
    offline.run("email.send", to=["ada@example.org"], subject="x", text="x")
    offline.fetch("UPDATE email_letter SET state = 'unknown', look_at = NULL RETURNING id")
    assert "1 mails may or may not have been sent" in check("outbox").detail
    offline.fetch("UPDATE email_letter SET state = 'queued', attempts = 0, due = 0 RETURNING id")
    assert "1 mails wait since 1970" in check("outbox").detail
    offline.fetch(
        "INSERT INTO email_account (name, failures, problem, retry_at) "
        "VALUES ('main', 3, 'no answer', 0) RETURNING name"
    )
    assert check("accounts").detail == "main: no answer (3 times)"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"default_account": "x"}, "expected one of: main"),
        ({"accounts": {"main": {"host": "h", "sender": "no"}}}, "expected an address"),
        ({"accounts": {"main": {"host": "h", "sender": "a@b.example", "limit": "many"}}}, "100/1m"),
        (
            {
                "accounts": {
                    "main": {
                        "host": "h",
                        "sender": "a@b.example",
                        "security": "none",
                        "user": "u",
                        "password": "p",
                    }
                }
            },
            "not sent in the clear",
        ),
        (
            {"accounts": {"main": {"host": "h", "sender": "a@b.example", "oauth": {}, "user": "u"}}},
            "token_url",
        ),
        ({"unsubscribe": "http://x"}, "https://"),
        ({"sandbox": {}}, "either `to` or `folder`"),
        ({"summary": {"at": "25:00"}}, "08:00"),
        ({"summary": {"quiet": {"ada": "night"}}}, "22:00-07:00"),
        ({"incoming": {"x": {"host": "h", "labels": ["a b"]}}}, "letters, digits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, wrong: dict[str, Any], expected: str
) -> None:
    accounts = {"main": {"host": "mail.example.org", "sender": "alice@example.org"}}
    given = {"plugins.email.settings": {"accounts": accounts, **wrong}}
    with pytest.raises(Exception, match=expected.replace("[", "\\[")) as error:
        Hop(Email, folder=tmp_path / "hopyard", settings=given)
    assert isinstance(error.value, Exception)


def test_limits_are_paced() -> None:
    assert Limit.parse("100/1m").paced == Limit(20, 12.0)
    assert Limit.parse("10/s").paced == Limit(10, 1.0)
    assert Limit.parse("500/12h").paced == Limit(1, 86.4)
    assert Limit.parse("7/2.5s") == Limit(7, 2.5)
    for text in ("0/s", "x", "10/0s", "10/w", "-1/s"):
        with pytest.raises(ValueError, match="expected a limit"):
            Limit.parse(text)
