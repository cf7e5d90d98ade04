"""`hopyard email …` from a shell: what it prints for people, and for programs with `--json`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.cli import main
from mail_servers import PASSWORD, MailServers

CONFIG = """
[plugins]
allow = ["email"]
[egress]
allow = ["localhost"]
[plugins.email.settings]
default_account = "main"
attachment_roots = []
[plugins.email.settings.inline_templates.hi]
subject = "Hi {{{{ name }}}}"
html = "<p>Hello, {{{{ name }}}}</p>"
[plugins.email.settings.accounts.main]
host = "localhost"
port = {mail.smtp}
ca_file = "{mail.certificate}"
user = "alice@example.test"
password = "{password}"
sender = "alice@example.test"
limit = "100/1m"
[plugins.email.settings.accounts.broken]
host = "localhost"
port = 1
sender = "bob@example.test"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mail: MailServers) -> Iterator[Path]:
    """A current folder with settings and a migrated ledger."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hopyard.toml").write_text(CONFIG.format(mail=mail, password=PASSWORD))
    assert run("db", "upgrade").exit_code == 0
    yield tmp_path
    current.set_instance(None)


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=given, env={"COLUMNS": "250"})


def email(*arguments: str, status: int = 0, given: str | None = None) -> str:
    result = run("email", *arguments, given=given)
    assert result.exit_code == status, result.output
    return result.stdout


def data(*arguments: str, status: int = 0) -> Any:
    return json.loads(email(*arguments, "--json", status=status))


def sql(statement: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(".hopyard/hopyard.db")) as database, database:
        return database.execute(statement, values).fetchall()


def put(to: str = "ada@example.test") -> str:
    letter: str = data("send", to, "--subject", "Hello", "--text", "Hi")["letters"][0]
    return letter


def test_a_mail_is_put_into_the_outbox_and_shown(folder: Path) -> None:
    (folder / "a.txt").write_text("attached")
    said = email(
        "send", "ada@example.test", "-s", "Hello", "-t", "-", "--attach", "a.txt", given="from stdin"
    )
    assert "The mail “Hello” to ada@example.test is in the outbox." in said
    (letter,) = data("list")
    assert (letter["state"], letter["recipient"]) == ("queued", "ada@example.test")
    shown = email("show", letter["id"][-12:], "--content")
    for part in ("Hello", "queued", "by account main", "from stdin", 'filename="a.txt"'):
        assert part in shown
    assert data("show", letter["id"])["timeline"][0]["what"] == "queued"
    assert [job[0] for job in sql("SELECT task FROM job_live")] == ["email.process_email_queue"]
    assert data("list", "--state", "sent") == []
    assert len(data("list", "--to", "Ada@example.test")) == 1


def test_a_template_is_previewed_and_sent(folder: Path) -> None:
    said = email("preview", "hi", "--value", "name=<Zoë>", "--html", "hi.html")
    assert said.startswith("Subject: Hi <Zoë>\n\nHello, <Zoë>")
    assert "Hello, &lt;Zoë&gt;" in (folder / "hi.html").read_text()
    assert data("preview", "hi", "--value", "name=7")["subject"] == "Hi 7"
    assert "'name' is undefined" in run("email", "preview", "hi").output
    data("send", "ada@example.test", "--template", "hi", "--value", "name=Ada", "--at", "2199-01-01 08:00:00")
    (letter,) = data("list")
    assert (letter["subject"], letter["due"][:13]) == ("Hi Ada", "2199-01-01T08")


def test_what_waits_is_cancelled_once() -> None:
    letter = put()
    assert "is cancelled" in email("cancel", letter)
    assert data("cancel", letter, status=1)["state"] == "cancelled"


def test_what_is_unknown_is_resolved_by_a_person() -> None:
    sent, again, known = put("a@example.test"), put("b@example.test"), put("c@example.test")
    sql("UPDATE email_letter SET state = 'unknown' WHERE id <> ?", known)
    assert "Nobody knows whether it was sent" in email("show", sent)
    assert data("resolve", sent, "--sent")["state"] == "sent"
    assert data("resolve", again, "--again")["state"] == "queued"
    assert data("resolve", known, "--again", status=1) == {"id": known, "resolved": False, "state": "queued"}
    assert "expected --sent or --again" in run("email", "resolve", sent).output


def test_addresses_are_suppressed_and_let_go() -> None:
    letter = put("ada@example.test")
    assert "gets no more mail" in email("suppress", "Ada@example.test", "--reason", "she said so")
    assert data("show", letter)["letter"]["state"] == "suppressed"
    assert [one["reason"] for one in data("suppressed")] == ["she said so"]
    assert data("unsuppress", "ada@example.test")["was_suppressed"]
    assert data("suppressed") == []
    assert run("email", "suppress", "no address").exit_code != 0


def test_accounts_are_listed_and_tried() -> None:
    listed = data("accounts")
    assert [(one["name"], one["ok"], one["default"]) for one in listed] == [
        ("main", True, True),
        ("broken", True, False),
    ]
    tried = {one["name"]: one for one in data("accounts", "--test", status=1)}
    assert tried["main"]["state"] == "the login works"
    assert "localhost:1" in tried["broken"]["detail"]
    assert PASSWORD not in json.dumps(tried)


def test_mail_that_came_in_is_listed() -> None:
    sql(
        "INSERT INTO email_incoming (id, mailbox, folder, validity, uid, digest, message_id, sender, "
        "subject, kind, labels, chosen_by, acted, size, created) "
        "VALUES ('x', 'desk', 'INBOX', 1, 1, 'd', '<1>', 'a@b.c', 'Hi', 'personal', "
        "'[\"invoice\"]', 'rules', 1, 10, 1)"
    )
    assert [one["labels"] for one in data("incoming", "--label", "invoice")] == [["invoice"]]
    assert data("incoming", "--label", "other") == []
    assert "a@b.c" in email("incoming", "--mailbox", "desk")


def test_what_cannot_be_read_is_told_without_calling_it_a_bug(folder: Path) -> None:
    (folder / "bad.html").write_bytes(b"\xff\xfe")
    deep = "x=" + "[" * 100_000
    for arguments, said in (
        (("--html", "bad.html"), "no text in UTF-8"),
        (("--template", "hi", "--value", deep), "nested too deep"),
        (("--text", "x", "--at", "9999-12-31 23:59"), "at: "),
    ):
        result = run("email", "send", "ada@example.test", "-s", "x", *arguments)
        assert result.exit_code != 0
        assert said in result.output
        assert "bug" not in result.output


def test_minutes_are_enough_and_letters_are_found_by_any_form_of_an_address() -> None:
    data("send", "ada@bücher.example", "-s", "x", "-t", "x", "--at", "2199-01-01 10:00")
    for to in ("Ada@Bücher.example", "Ada <ada@xn--bcher-kva.example>"):
        assert len(data("list", "--to", to)) == 1
