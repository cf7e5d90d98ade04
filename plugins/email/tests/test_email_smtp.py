"""Sending against Exim and Dovecot: TLS, logins, refusals, what arrives."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hopyard import portal, storage
from hopyard.errors import LedgerUnavailable
from hopyard.testing import Hop
from hopyard_email import Email, Mail
from hopyard_email.models import Processed
from hopyard_email.outbox import claims, letters
from hopyard_email.smtp.connection import Connection, boot_time, opened
from hopyard_email.smtp.delivery import Delivery
from mail_servers import MailServers
from mail_settings import account, settings

Make = Callable[..., Hop]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes an installation with these accounts."""
    with ExitStack() as stack:

        def made(accounts: Mapping[str, Any], **more: Any) -> Hop:
            return stack.enter_context(
                Hop(Email, folder=tmp_path / "hopyard", settings=settings(accounts, **more))
            )

        yield made


def sent(hop: Hop, *to: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Send a mail; return its letters by recipient."""
    given = {"subject": "Hello", "text": "Hello!\n.\n..\nBye.", **more}
    outcome = hop.run("email.send", to=[*to], **given)
    assert outcome.state == "succeeded", outcome.error
    for job in hop.jobs("email.process_email_queue"):
        assert job["state"] != "dead", job["error"]
    rows = hop.fetch("SELECT recipient, state, reply, status, attempts FROM email_letter ORDER BY recipient")
    return {row["recipient"]: dict(row) for row in rows}


def report(hop: Hop) -> Any:
    """Return what the last run of the sender said."""
    done = [job for job in hop.jobs("email.process_email_queue") if job["state"] == "succeeded"]
    return hop.outcome(max(done, key=lambda job: job["created"])["id"]).result()


def only(mails: list[Message]) -> Message:
    (mail,) = mails
    return mail


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_arrives_as_it_was_written(make: Make, mail: MailServers, security: str) -> None:
    port = mail.smtps if security == "tls" else mail.smtp
    hop = make({"main": account(mail, security=security, port=port)})
    user = f"arrives-{security}@example.test"
    letters = sent(hop, f"Zoë <{user}>", html="<style>b{color:red}</style><b>Grüße</b>", text=None)
    assert letters[user]["state"] == "sent"
    arrived = only(mail.wait(user, 1))
    assert arrived["From"] == "Alice <alice@example.test>"
    assert arrived["Return-Path"] == "<alice@example.test>"
    assert "X-Hopyard-Letter" in arrived
    parts: Any = arrived.get_payload()
    text, html = (part.get_payload(decode=True).decode() for part in parts)
    assert text == "Grüße\n"
    assert '<b style="color: red;">Grüße</b>' in html
    assert b"ESMTPSA" in arrived.as_bytes().upper()


def test_dots_at_the_beginning_of_lines_stay(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail)})
    sent(hop, "dots@example.test")
    assert only(mail.wait("dots@example.test", 1)).get_payload(decode=True) == b"Hello!\n.\n..\nBye.\n"


def test_each_recipient_is_refused_alone(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail)})
    letters = sent(hop, "fine1@example.test", "bounce1@example.test", "later1@other.test")
    assert {name: (one["state"], one["status"]) for name, one in letters.items()} == {
        "fine1@example.test": ("sent", None),
        "bounce1@example.test": ("failed", "5.1.1"),
        "later1@other.test": ("queued", "4.2.1"),
    }
    found = report(hop)
    assert (found.sent, found.failed, found.deferred) == (1, 1, 1)
    assert len(mail.wait("fine1@example.test", 1)) == 1
    assert hop.fetch("SELECT address FROM email_suppressed") == [{"address": "bounce1@example.test"}]
    assert sent(hop, "Bounce1@example.test")["Bounce1@example.test"]["state"] == "suppressed"


def test_what_was_put_off_is_tried_again(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail)}, retry_after=30)
    sent(hop, "later2@example.test")
    hop.fetch("UPDATE email_letter SET recipient = 'fine2@example.test', due = 0 RETURNING id")
    hop.pass_time(60)
    assert len(mail.wait("fine2@example.test", 1)) == 1


def test_a_wrong_password_stops_the_account_and_costs_no_mail(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail, password="wrong-Passw0rd")})
    letters = sent(hop, "nobody1@example.test")
    assert (letters["nobody1@example.test"]["state"], letters["nobody1@example.test"]["attempts"]) == (
        "queued",
        0,
    )
    (problem,) = report(hop).problems
    assert "refused the login: 535" in problem
    row = hop.fetch("SELECT name, failures, problem FROM email_account")[0]
    assert (row["name"], row["failures"]) == ("main", 1)
    everything = str(
        [hop.fetch(f"SELECT * FROM {table}") for table in ("email_letter", "email_event", "email_account")]
    )
    assert "wrong-Passw0rd" not in everything + str(hop.jobs())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ca_file": None}, "its certificate is not trusted"),
        ({"port": 1}, "Connect"),
        ({"host": "10.0.0.1"}, "private address, which tasks may not reach"),
    ],
)
def test_a_server_that_is_not_trusted_or_reached_gets_nothing(
    make: Make, mail: MailServers, change: dict[str, Any], problem: str
) -> None:
    hop = make({"main": account(mail, **change)})
    assert sent(hop, "nobody2@example.test")["nobody2@example.test"]["state"] == "queued"
    assert problem in report(hop).problems[0]
    assert mail.arrived("nobody2@example.test") == []


def test_an_account_in_trouble_does_not_hold_up_another(make: Make, mail: MailServers) -> None:
    good = account(mail, sender="bob@other.test", senders=["*@third.test"])
    hop = make({"bad": account(mail, port=1), "good": good}, default_account="bad")
    sent(hop, "two1@example.test")
    letters = sent(hop, "two2@example.test", sender="Carol <carol@third.test>")
    assert letters["two1@example.test"]["state"] == "queued"
    assert letters["two2@example.test"]["state"] == "sent"
    assert only(mail.wait("two2@example.test", 1))["From"] == "Carol <carol@third.test>"
    refused = hop.run("email.send", to=["a@example.test"], subject="x", text="x", sender="eve@elsewhere.test")
    assert refused.state == "dead"
    assert "not among the senders" in str(refused.error)


@pytest.mark.parametrize("how", ["fixed", "client credentials", "refresh token"])
def test_a_token_logs_in(make: Make, mail: MailServers, how: str) -> None:
    oauth: dict[str, Any] = {
        "token_url": mail.tokens.url,
        "client_id": "hopyard",
        "client_secret": "s3cret",
        "scope": how,
    }
    if how == "fixed":
        oauth = {"token": mail.tokens.issue()}
    elif how == "refresh token":
        oauth["refresh_token"] = "r3fresh"
    given = account(mail, port=mail.submission, oauth=oauth)
    del given["password"]
    hop = make({"main": given})
    user = f"token-{how[:5].strip()}@example.test"
    assert sent(hop, user)[user]["state"] == "sent"
    mail.wait(user, 1)
    if how != "fixed":
        asked = mail.tokens.asked[-1]
        assert asked["grant_type"] == ["refresh_token" if how == "refresh token" else "client_credentials"]
        count = len(mail.tokens.asked)
        sent(hop, user)
        assert len(mail.tokens.asked) == count  # the token is kept
        mail.tokens.tokens.clear()  # it is taken back before its time
        sent(hop, user)
        mail.wait(user, 3)
        assert len(mail.tokens.asked) == count + 1


def test_a_token_that_is_refused_is_told(make: Make, mail: MailServers) -> None:
    given = account(mail, port=mail.submission, oauth={"token": "n0ne"})
    del given["password"]
    hop = make({"main": given})
    sent(hop, "token-none@example.test")
    assert "refused the login" in report(hop).problems[0]
    assert "n0ne" not in str(report(hop).problems)


def test_letters_beyond_ascii_go_where_the_server_takes_them(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail)})
    assert sent(hop, "jörg@example.test")["jörg@example.test"]["state"] == "sent"
    submission = make_other(hop, mail)
    letters = sent(submission, "jörg2@example.test")
    assert (letters["jörg2@example.test"]["state"], letters["jörg2@example.test"]["status"]) == (
        "failed",
        "5.6.7",
    )
    submission.close()


def make_other(hop: Hop, mail: MailServers) -> Hop:
    """An installation that sends through Dovecot, which does not offer SMTPUTF8."""
    folder = hop.hopyard.settings.data.parent / "other"
    return Hop(Email, folder=folder, settings=settings({"main": account(mail, port=mail.submission)}))


def test_unsubscribing_takes_one_click(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail)}, unsubscribe="https://example.org/u?l={id}&a={address}")
    sent(hop, "news1@example.test", bulk=True)
    arrived = only(mail.wait("news1@example.test", 1))
    letter = hop.fetch("SELECT id FROM email_letter")[0]["id"]
    assert arrived["List-Unsubscribe"] == f"<https://example.org/u?l={letter}&a=news1%40example.test>"
    assert arrived["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    hop.run("email.suppress", address="news1@example.test")
    assert sent(hop, "news1@example.test", subject="2")["news1@example.test"]["state"] == "suppressed"


def test_mail_is_signed(make: Make, mail: MailServers, tmp_path: Path) -> None:
    import dkim

    key = tmp_path / "dkim.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", str(key), "-pubout"], check=True, capture_output=True, text=True
    ).stdout
    hop = make(
        {"main": account(mail, dkim={"domain": "example.test", "selector": "s1", "key_file": str(key)})}
    )
    sent(hop, "signed@example.test", html="<p>Hello</p>", headers={"X-Shop": "7"})
    raw = only(mail.wait("signed@example.test", 1)).as_bytes()
    record = b"v=DKIM1; k=rsa; p=" + "".join(public.splitlines()[1:-1]).encode()
    asked = []

    def answer(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return record

    assert dkim.verify(raw, dnsfunc=answer)
    assert asked == [b"s1._domainkey.example.test."]
    assert not dkim.verify(raw.replace(b"Subject: Hello", b"Subject: Hullo"), dnsfunc=answer)
    key.unlink()
    letters = sent(hop, "unsigned@example.test")
    assert letters["unsigned@example.test"]["state"] == "queued"  # it is the account's fault, which rests
    assert letters["unsigned@example.test"]["attempts"] == 0
    assert "nothing can be signed" in report(hop).problems[0]


def test_the_sandbox_lets_nothing_through(make: Make, mail: MailServers) -> None:
    hop = make({"main": account(mail)}, sandbox={"to": "sandbox@example.test"})
    sent(hop, "real1@example.test", "real2@example.test")
    arrived = mail.wait("sandbox@example.test", 2)
    assert sorted(one["X-Hopyard-Sandbox"] for one in arrived) == [
        "for real1@example.test",
        "for real2@example.test",
    ]
    assert mail.arrived("real1@example.test") == []


def test_no_answer_to_the_content_is_unknown(
    make: Make, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut in the only moment in which nobody can know."""
    whole = Connection._content

    async def cut(self: Connection, raw: bytes) -> Any:
        import aiosmtplib

        async def no_answer(*args: Any, **options: Any) -> Any:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")

        protocol = self._client.protocol
        assert protocol is not None
        monkeypatch.setattr(protocol, "read_response", no_answer)
        return await whole(self, raw)

    monkeypatch.setattr(Connection, "_content", cut)
    hop = make({"main": account(mail)})
    letters = sent(hop, "cut@example.test")
    assert letters["cut@example.test"]["state"] == "unknown"
    assert "no answer to the content" in letters["cut@example.test"]["reply"]
    monkeypatch.undo()
    hop.run("email.process_email_queue")
    row = hop.fetch("SELECT state, look_at FROM email_letter")[0]
    assert (row["state"], row["look_at"]) == ("unknown", None)  # nobody looks: a person must say
    assert hop.run("email.process_email_queue").result().sent == 0


def test_a_worker_that_is_to_stop_waits_for_the_servers_answer(
    make: Make, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each restart of workers would leave mails of which nobody knows whether they were sent."""
    whole, begun = Connection._content, asyncio.Event()

    async def slow(self: Connection, raw: bytes) -> Any:
        outcome = await whole(self, raw)
        begun.set()
        await asyncio.sleep(0.3)
        return outcome

    monkeypatch.setattr(Connection, "_content", slow)
    hop = make({"main": account(mail)})

    async def stopped() -> None:
        given = Email.current().settings
        await letters.enqueue(
            Mail(to=["stop@example.test"], subject="x", text="x"), given, id_=storage.new_id()
        )
        sender = storage.new_id()
        await claims.register(sender, storage.new_id())
        taken = await claims.claim(sender, given, accounts=["main"], full=[], most=5)
        delivery = Delivery(sender, "main", given, Processed())
        sending = asyncio.create_task(delivery.send(taken.letters, lambda: True))
        await begun.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await delivery.close()
        await claims.sign_off(sender)

    portal.run(stopped(), within_loop=True)
    assert [row["state"] for row in hop.fetch("SELECT state FROM email_letter")] == ["sent"]


def test_a_ledger_that_is_gone_is_told_by_its_own_error(
    make: Make, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside of a group of errors nobody would know that the job is worth another try."""

    async def gone(*_: Any) -> bool:
        raise LedgerUnavailable("the database is gone")

    monkeypatch.setattr(claims, "begin", gone)
    hop = make({"main": account(mail)})
    hop.run("email.send", to=["gone@example.test"], subject="x", text="x")
    jobs = [hop.outcome(job["id"]) for job in hop.jobs("email.process_email_queue")]
    failed = [attempt for job in jobs for attempt in job.attempts]
    assert {attempt["kind"] for attempt in failed if attempt.get("kind")} == {"LedgerUnavailable"}
    assert mail.arrived("gone@example.test") == []


def test_a_sender_that_stood_still_hands_nothing_over(make: Make, mail: MailServers) -> None:
    """Frozen between its intent and the content, it was given up perhaps, and the mail is another's."""
    make({"main": account(mail)})

    async def stood_still() -> Any:
        given = Email.current().settings.accounts["main"]
        connection = await opened(given)

        async def begin() -> float:
            return boot_time() - 1

        raw = b"Subject: late\r\n\r\nx\r\n"
        return await connection.send(
            "alice@example.test", "still@example.test", raw, begin
        ), connection.usable

    outcome, usable = portal.run(stood_still(), within_loop=True)
    assert (outcome.kind, usable) == ("returned", False)
    assert mail.arrived("still@example.test") == []
