"""Servers that lie, mail that is made to do harm, and reports that somebody forged."""

from __future__ import annotations

import asyncio
import base64
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import pytest
from hopyard import portal, storage
from hopyard.errors import InvalidInput
from hopyard.testing import Hop
from hopyard_email import Email, EmailSettings, Mail
from hopyard_email.addresses import parse_address
from hopyard_email.composing import compose, templates
from hopyard_email.composing.markup import depth
from hopyard_email.composing.plaintext import to_text
from hopyard_email.incoming import folders
from hopyard_email.incoming.folders import Read
from hopyard_email.incoming.parsing import parse
from hopyard_email.incoming.reports import kind_of, reports_in
from hopyard_email.outbox import claims, letters, outcomes, suppression, trouble
from hopyard_email.outbox.outcomes import Outcome
from hopyard_email.smtp import connection
from hopyard_email.smtp.delivery import Delivery
from hypothesis import given
from hypothesis import strategies as st
from mail_servers import MailServers
from mail_settings import account, mailbox, settings
from pydantic import ValidationError
from servers import fresh_database
from sites import site_in

REPLIES = {
    "latin1 at rcpt": {b"RCPT": b"550 5.1.1 Empf\xe4nger unbekannt\r\n"},
    "latin1 at data": {b".": b"250 2.0.0 f\xfcr Sie\r\n"},
    "nul at data": {b".": b"250 2.0.0 ok\0done\r\n"},
    "escapes": {b"RCPT": b"550 5.7.1 \x1b[2Jno\r\n"},
    "sender refused": {b"MAIL": b"550 5.1.1 sender unknown\r\n"},
    "content refused": {b".": b"550 5.1.1 content refused\r\n"},
    "greeting": {b"": b"554 nicht verf\xfcgbar\r\n"},
    "silent": {b".": b""},
}
ALL_STATES = "SELECT state, status, reply FROM email_letter ORDER BY id"


class _Liar(socketserver.StreamRequestHandler):
    """Speaks SMTP, with other replies than expected to some commands; an empty one is never sent."""

    def handle(self) -> None:
        given: dict[bytes, bytes] = self.server.replies  # type: ignore[attr-defined]
        self.wfile.write(given.get(b"", b"220 liar ESMTP\r\n"))
        while line := self.rfile.readline():
            word = line[:4].strip().upper()
            reply = given.get(word, b"354 go\r\n" if word == b"DATA" else b"250 ok\r\n")
            self.wfile.write(reply)
            if reply.startswith(b"354"):
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.wfile.write(given.get(b".", b"250 ok\r\n"))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@pytest.fixture
def liar() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Starts a server that replies so; returns the account at it."""
    with ExitStack() as stack:

        def made(how: str) -> dict[str, Any]:
            server = stack.enter_context(_Server(("127.0.0.1", 0), _Liar))
            server.replies = REPLIES[how]  # type: ignore[attr-defined]
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            port = server.server_address[1]
            return {"host": "127.0.0.1", "port": port, "security": "none", "sender": "liar@example.org"}

        yield made


@pytest.fixture
def hop_at(tmp_path: Path) -> Iterator[Callable[..., Hop]]:
    """Makes an installation with these settings."""
    with ExitStack() as stack:

        def made(given: dict[str, Any], **more: Any) -> Hop:
            return stack.enter_context(Hop(Email, folder=tmp_path / "hopyard", settings=given, **more))

        yield made


@pytest.mark.parametrize(
    ("how", "state", "status", "reply"),
    [
        ("latin1 at rcpt", "failed", "5.1.1", "Empf\ufffdnger unbekannt"),
        ("latin1 at data", "sent", "2.0.0", "f\ufffdr Sie"),
        ("nul at data", "sent", "2.0.0", "ok\ufffddone"),
        ("escapes", "failed", "5.7.1", "\ufffd[2Jno"),
    ],
)
def test_a_reply_that_is_no_text_is_stored_as_text(
    hop_at: Any, liar: Any, how: str, state: str, status: str, reply: str
) -> None:
    hop = hop_at(settings({"main": liar(how)}))
    hop.run("email.send", to=["a@example.org"], subject="x", text="x")
    (row,) = hop.fetch(ALL_STATES)
    assert (row["state"], row["status"]) == (state, status)
    assert reply in row["reply"]
    assert [job["state"] for job in hop.jobs("email.process_email_queue")] == ["succeeded"]


async def test_what_no_text_is_reaches_postgresql_as_text(postgres_url: str, tmp_path: Path) -> None:
    given = EmailSettings(accounts={"main": {"host": "h", "sender": "a@x.test"}})
    odd = "f\udcfcr\0Sie"
    url, extra = fresh_database(postgres_url), '[plugins]\nallow = ["email"]\n'
    with site_in(tmp_path, broker="memory://localhost/", database=url, extra=extra) as site:
        await site.hopyard.upgrade()
        id_ = storage.new_id()
        await letters.enqueue(Mail(to=["b@x.test"], subject="x", text="x"), given, id_=id_)
        await claims.register(id_, id_)
        (held,) = (await claims.claim(id_, given, accounts=["main"], full=[], most=5)).letters
        assert await outcomes.record(id_, held, Outcome("failed", odd), given) == "failed"
        await trouble.note_trouble("main", odd)
        await suppression.suppress("c@x.test", odd)
        read = Read(1, "d", odd, odd, odd, "personal", [], "", odd, None, None, 9)
        await folders.advance("desk", "INBOX", 1, 1, [read])
        rows = await storage.fetch("SELECT subject FROM email_incoming")
        assert rows[0]["subject"] == "f\ufffdr\ufffdSie"
        await site.hopyard.close()


async def test_of_a_key_with_another_moment_the_stored_one_is_told(postgres_url: str, tmp_path: Path) -> None:
    given = EmailSettings(accounts={"main": {"host": "h", "sender": "a@x.test"}})
    url, extra = fresh_database(postgres_url), '[plugins]\nallow = ["email"]\n'
    with site_in(tmp_path, broker="memory://localhost/", database=url, extra=extra) as site:
        await site.hopyard.upgrade()
        id_, due = storage.new_id(), storage.utcnow() + timedelta(days=1)
        mail = Mail(to=["b@x.test", "a@x.test"], subject="x", text="x")
        first = await letters.enqueue(mail, given, id_=id_, due=due)
        again = await letters.enqueue(mail, given, id_=id_, due=due + timedelta(days=1))
        assert (again.letters, again.due, again.new) == (first.letters, first.due, False)
        assert "which stays" in again.summary
        # What is too late is neither claimed nor begun.
        await storage.execute(f"UPDATE email_letter SET due = {storage.sql().now}")
        await claims.register(id_, id_)
        (held, _) = (await claims.claim(id_, given, accounts=["main"], full=[], most=5)).letters
        death = await claims.next_death(storage.new_id(), 30)
        assert death is not None
        assert timedelta(seconds=20) < death - storage.utcnow() < timedelta(seconds=32)
        await storage.execute(f"UPDATE email_letter SET expires = {storage.sql().now}")
        assert not await claims.begin(id_, held.id)
        await claims.sign_off(id_)
        await claims.register(id_, id_)
        assert (await claims.claim(id_, given, accounts=["main"], full=[], most=5)).letters == []
        await site.hopyard.close()


def test_a_greeting_that_is_no_text_is_the_accounts_trouble(hop_at: Any, liar: Any) -> None:
    hop = hop_at(settings({"main": liar("greeting")}))
    hop.run("email.send", to=["a@example.org"], subject="x", text="x")
    assert [row["state"] for row in hop.fetch(ALL_STATES)] == ["queued"]
    assert "dead" not in [job["state"] for job in hop.jobs("email.process_email_queue")]


@pytest.mark.parametrize("begun", [False, True])
def test_a_fault_at_one_letter_is_that_letters(
    hop_at: Any, mail: MailServers, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    whole, content = Delivery._content, connection.Connection._content
    faults = iter([True])

    async def breaks(*given: Any) -> Any:
        if next(faults, False):
            raise RuntimeError("nobody foresaw \udcff this")
        return await (content if begun else whole)(*given)

    monkeypatch.setattr(connection.Connection if begun else Delivery, "_content", breaks)
    hop = hop_at(settings({"main": account(mail, connections=1)}))
    user = f"others{begun:d}@example.test"
    hop.run("email.send", to=[user, f"2{user}", f"3{user}"], subject="x", text="x")
    states = sorted(row["state"] for row in hop.fetch(ALL_STATES))
    assert states == sorted(["unknown" if begun else "failed", "sent", "sent"])


@pytest.mark.parametrize("how", ["sender refused", "content refused"])
def test_only_the_reply_to_rcpt_is_about_the_recipient(hop_at: Any, liar: Any, how: str) -> None:
    hop = hop_at(settings({"main": liar(how)}))
    hop.run("email.send", to=["a@example.org"], subject="x", text="x")
    assert [row["state"] for row in hop.fetch(ALL_STATES)] == ["failed"]
    assert hop.fetch("SELECT * FROM email_suppressed") == []


def test_in_the_sandbox_nobody_is_suppressed(hop_at: Any, liar: Any) -> None:
    hop = hop_at(settings({"main": liar("latin1 at rcpt")}, sandbox={"to": "trap@example.org"}))
    hop.run("email.send", to=["a@example.org"], subject="x", text="x")
    assert [row["state"] for row in hop.fetch(ALL_STATES)] == ["failed"]
    assert hop.fetch("SELECT * FROM email_suppressed") == []


def test_a_server_that_hangs_holds_up_nobody_else(
    hop_at: Any, liar: Any, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "DATA_TIMEOUT", 3.0)
    good = account(mail, sender="good@other.test")
    hop = hop_at(settings({"bad": {**liar("silent"), "connections": 1}, "good": good}, default_account="bad"))

    async def fill() -> None:
        for n in range(3):
            await put([f"h{n}@example.org"])
        for n in range(25):
            await put([f"healthy{n}@example.test"], sender="good@other.test")

    async def put(to: list[str], **more: Any) -> None:
        mail_ = Mail(to=to, subject="x", text="x", **more)
        await letters.enqueue(mail_, Email.current().settings, id_=storage.new_id())

    portal.run(fill(), within_loop=True)
    hop.run("email.process_email_queue")
    rows = hop.fetch("SELECT account, state, count(*) AS n FROM email_letter GROUP BY account, state")
    found = {(row["account"], row["state"]): row["n"] for row in rows}
    assert found == {("bad", "unknown"): 1, ("bad", "queued"): 2, ("good", "sent"): 25}
    assert "no answer to the content" in hop.fetch("SELECT problem FROM email_account")[0]["problem"]
    happened = hop.fetch("SELECT what FROM email_event WHERE what IN ('sent', 'unknown') ORDER BY at, id")
    assert happened[0]["what"] == "sent"  # while the other server still hung


HOSTILE = [
    "<a ",
    "<!",
    "<!--",
    "</",
    "<![CDATA[",
    "&#",
    "<a x='",
    "<?",
    "<script></",
    "<title>",
    "<a/",
    "<a =",
    "<a href=x>",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_html_is_read_in_time_in_proportion_to_its_length(piece: str) -> None:
    html = piece * (500_000 // len(piece))
    to_text(html)
    depth(html)
    parse(b"Content-Type: text/html\r\n\r\n" + html.encode()).text  # noqa: B018


@pytest.mark.timeout(60)
def test_long_tags_and_numbers_are_read() -> None:
    for html in ("<a " + "x=" * 200_000, "<a " + "x" * 400_000 + ">", "&#" + "9" * 400_000):
        to_text(html)


def composed(**given: Any) -> bytes:
    mail = Mail(**{"to": ["z@x.test"], "subject": "s", "text": "t", **given})
    sender = parse_address("a@x.test", "sender")
    return compose(
        mail, sender, message_id="<i@x.test>", date=datetime.now(UTC), settings=EmailSettings()
    ).raw


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 20_000,
        "<div>" * 20_000 + "</div>" * 20_000,
        "<b></i>" * 20_000,
        "<div><!--</div>-->" * 20_000,
        "<svg>" + "<link>" * 20_000,
        "<div><a x='</div>'></a>" * 20_000,
        "<div><script></div></script>" * 20_000,
        "<div><object></div></object>" * 20_000,
        "<dd><li>" * 20_000,
        "x" * 10_000_001,
    ],
)
def test_html_that_is_nested_too_deep_is_refused_before_anything_reads_it(html: str) -> None:
    with pytest.raises(InvalidInput, match="html: "):
        composed(text=None, html=html)


def test_ordinary_html_is_not_deep() -> None:
    row = "<tr><td><p>one<p>two<br><img src=x></td></tr>"
    html = "<table>" + row * 500 + "</table><ul>" + "<li>item" * 500 + "</ul>"
    assert depth(html) < 20
    assert b"item" in composed(text=None, html=html)


@given(
    st.text(st.sampled_from('ab ,;:<>@"\\()éß\u202e'), max_size=120),
    st.sampled_from(["to", "cc", "reply_to"]),
)
def test_no_name_is_read_as_another_address(name: str, field: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    value = f'"{quoted}" <ada@x.test>'
    try:
        raw = composed(**{field: value if field == "reply_to" else [value, "z2@x.test"]})
    except InvalidInput:
        return
    import email
    import email.policy

    header = {"to": "To", "cc": "Cc", "reply_to": "Reply-To"}[field]
    wanted = ["ada@x.test"] + (["z2@x.test"] if field != "reply_to" else [])
    plain = email.message_from_bytes(raw)
    assert [one for _, one in getaddresses([str(plain[header]).replace("\r\n", "")])] == wanted
    parsed: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert [one.addr_spec for one in parsed[header].addresses] == wanted


def test_a_long_name_with_commas_keeps_its_address() -> None:
    name = "Long " * 30 + ", evil@evil.test"
    raw = composed(to=[f'"{name}" <ada@x.test>'])
    assert b"evil" not in raw


def test_headers_of_servers_and_of_resending_cannot_be_given() -> None:
    for name in ("Resent-To", "ARC-Seal", "Authentication-Results", "X-Hopyard-Sandbox"):
        with pytest.raises(InvalidInput, match="follows from the mail itself"):
            composed(headers={name: "x"})


PIECES = [
    b"Subject: =?utf-8?b?abcde?=",
    b"From: =?utf-8?b?abcde?= <a@b.c>",
    b"Content-Type: multipart/mixed; boundary*=unicode_escape''\\ud800",
    b"Content-Type: text/plain; charset=unicode_escape",
    b"Content-Type: text/html; charset*=foo'bar'%ff",
    b"Content-Type: message/delivery-status",
    b"Content-Transfer-Encoding: base64",
    base64.b64encode(b"Reporting-MTA: x\n\nFinal-Recipient: rfc822;a\0b@x.y\nAction: failed\n"),
    b"\\ud800",
    b"Message-ID: <a\0\xff@b>",
    b"",
    b"<a ",
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12))
def test_what_is_read_of_a_mail_can_be_stored(pieces: list[bytes]) -> None:
    parsed = parse(b"\r\n".join(pieces))
    texts = [parsed.text, parsed.sender, *parsed.addresses("To"), kind_of(parsed)]
    texts += [parsed.value(name) for name in ("Subject", "From", "Message-ID")]
    texts += [text for one in reports_in(parsed) for text in (one.recipient, one.action, one.detail)]
    for text in texts:
        assert "\0" not in text
        text.encode()


def poison() -> list[bytes]:
    status = b"Reporting-MTA: dns;x\n\nFinal-Recipient: rfc822;a\0b@x.y\nAction: failed\nStatus: 5.1.1\n"
    report = (
        b"Subject: report\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(status)
        + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <a@b>\r\n\r\n--b--\r\n"
    )
    return [
        b"From: m@evil.test\r\nSubject: =?utf-8?b?abcde?=\r\n\r\nx",
        report,
        b"Subject: boundary\r\nContent-Type: multipart/mixed; boundary*=unicode_escape''\\ud800\r\n\r\nx",
        b"Subject: charset\r\nContent-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800",
        b"Subject: html\r\nContent-Type: text/html\r\n\r\n" + b"<a \r\n" * 8000,
    ]


def test_no_mail_stops_a_mailbox(hop_at: Any, mail: MailServers) -> None:
    user = "poison@example.test"
    given = settings({}, incoming={"desk": mailbox(mail, user, rules=[{"label": "x", "text": "hello"}])})
    hop = hop_at(given)
    for raw in [*poison(), b"Subject: good\r\n\r\nhello"]:
        mail.put(user, raw)
    assert hop.run("email.categorize_incoming_email").result().read == 6
    rows = hop.fetch("SELECT subject, labels FROM email_incoming ORDER BY uid")
    assert (rows[-1]["subject"], rows[-1]["labels"]) == ("good", '["x"]')


def test_a_fault_at_one_mail_is_noted_with_it(
    hop_at: Any, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopyard_email.incoming import categorizing

    whole = categorizing._look_at

    def breaks(raw: bytes, box: Any) -> Any:
        if b"breaks" in raw:
            raise RuntimeError("nobody foresaw \udcff this")
        return whole(raw, box)

    monkeypatch.setattr(categorizing, "_look_at", breaks)
    user = "faults@example.test"
    hop = hop_at(settings({}, incoming={"desk": mailbox(mail, user)}))
    mail.put(user, b"Subject: breaks\r\n\r\nx")
    mail.put(user, b"Subject: good\r\n\r\nx")
    assert "nobody foresaw" in hop.run("email.categorize_incoming_email").result().notes[0]
    rows = hop.fetch("SELECT subject, problem FROM email_incoming ORDER BY uid")
    assert [row["subject"] for row in rows] == ["", "good"]
    assert "nobody foresaw" in rows[0]["problem"]
    assert hop.run("email.categorize_incoming_email").result().read == 0


def bounce(of: str, quoted: str) -> bytes:
    lines = [
        "From: m@evil.test",
        "Subject: Undelivered",
        f"Message-ID: <{time.time_ns()}@evil.test>",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
        *("", "--b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns;evil.test", ""),
        *(f"Final-Recipient: rfc822;{of}", "Action: failed", "Status: 5.1.1", "", "--b"),
        *("Content-Type: text/rfc822-headers", "", quoted, "", "--b--", ""),
    ]
    return "\r\n".join(lines).encode()


def test_whoever_knows_key_or_group_can_suppress_nobody(hop_at: Any, mail: MailServers) -> None:
    from hopyard.storage import derived_id

    user = "forged@example.test"
    hop = hop_at(
        settings({"main": account(mail, sender=user, senders=["*"])}, incoming={"desk": mailbox(mail, user)})
    )
    hop.run("email.send", to=["v1@third.test"], subject="x", text="x", key="greet v1")
    hop.run("email.send", to=["v2@third.test", "v3@third.test"], subject="x", text="x")
    shared = hop.fetch("SELECT message_id, id FROM email_letter WHERE recipient = 'v2@third.test'")[0]
    guessed = derived_id("email", "greet v1")
    mail.put(user, bounce("v1@third.test", f"Message-ID: <{guessed}@example.test>"))
    mail.put(user, bounce("v1@third.test", f"X-Hopyard-Letter: {derived_id(guessed, 'v1@third.test')}"))
    # The other recipient of the mail knows its Message-ID.
    mail.put(user, bounce("v2@third.test", f"Message-ID: {shared['message_id']}"))
    assert hop.run("email.categorize_incoming_email").result().suppressed == []
    mail.put(user, bounce("v2@third.test", f"X-Hopyard-Letter: {shared['id']}"))
    assert hop.run("email.categorize_incoming_email").result().suppressed == ["v2@third.test"]


def test_of_a_mail_to_very_many_each_copy_is_found(mail: MailServers) -> None:
    from hopyard_email.imap import Session, _found

    class Box:
        """A mailbox with 250 copies of one mail."""

        def uids(self, *_: Any, **__: Any) -> list[str]:
            return [str(n) for n in range(1, 251)]

        @property
        def client(self) -> Any:
            return self

        def uid(self, command: str, uids: str, items: str) -> tuple[str, list[Any]]:
            data = [
                (f"1 (UID {n} BODY".encode(), f"X-Hopyard-Letter: l{n}\r\n".encode()) for n in uids.split(",")
            ]
            return "OK", data

    marks = Session(Box(), "x").letters_with("<a@b>", "X-Hopyard-Letter")  # type: ignore[arg-type]
    assert len(marks) == 250
    assert marks[-1] == "l250"
    assert [*_found([])] == []


def test_settings_in_other_forms_mean_the_same_or_are_refused(tmp_path: Path) -> None:
    account_ = {"host": "h", "sender": "a@x.test"}
    made = EmailSettings(
        accounts={"main": account_}, domain_limits={"Example.TEST": "1/m", "b\xfccher.example": "2/m"}
    )
    assert {*made.domain_limits} == {"example.test", "xn--bcher-kva.example"}
    for wrong in (
        {"accounts": {"main": {**account_, "senders": ["a@b\r\nX"]}}},
        {"accounts": {"main": {**account_, "ca_file": "/nonexistent"}}},
        {
            "accounts": {
                "main": {**account_, "user": "u", "oauth": {"token_url": "http://x.test", "client_id": "x"}}
            }
        },
        {"accounts": {"main": {**account_, "proof": {"host": "h"}}}},
        {
            "accounts": {
                "main": {**account_, "dkim": {"domain": "a\r\nX", "selector": "s", "key_file": __file__}}
            }
        },
        {"accounts": {"main": {"host": "h", "sender": "nobody"}}},
        {"incoming": {"x": {"host": "h"}}},
        {"unsubscribe": "https://x y/\r\nBcc: z"},
        {"summary": {"quiet": {"ada": "22:00-22:00"}}},
    ):
        with pytest.raises(ValidationError):
            EmailSettings(**{"accounts": {"main": account_}, **wrong})


def test_health_names_what_the_settings_cannot_mean(hop_at: Any, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    dkim = {"domain": "x.test", "selector": "s", "key_file": str(key)}
    given = settings(
        {"main": {"host": "h", "sender": "a@x.test", "dkim": dkim}},
        summary={"people": ["nobody"]},
        addresses={"stranger": "x@y.test"},
        inline_templates={"x": {"html": "{{ a"}},
    )
    hop = hop_at(given)
    checks = {
        check.name: check.run for plugin, check in hop.hopyard.plugins.health_checks if plugin == "email"
    }

    async def look() -> Any:
        return await checks["configuration"]()

    detail = portal.run(look(), within_loop=True).detail
    for part in (
        "no person nobody",
        "no person stranger",
        "nothing can be signed",
        "template x: TemplateSyntaxError",
    ):
        assert part in detail
    wrong = hop.run(
        "email.send_scheduled_email",
        to=["a@x.test"],
        at="2099-01-01T00:00",
        text="x",
        subject="x",
        person="nobody",
    )
    assert "person: found 'nobody'" in str(wrong.error)


@pytest.mark.parametrize(
    "html",
    ["{{ 'a' * 500000000 }}", "{{ 9**9999999 }}", "{{ '%900000000d' % 1 }}", "{{ 'a'.ljust(900000000) }}"],
)
def test_templates_make_nothing_that_fills_the_memory(html: str) -> None:
    made = EmailSettings(inline_templates={"x": {"subject": "s", "html": html}})
    with pytest.raises(InvalidInput, match="template x"):
        templates.render("x", {}, made)


def test_a_person_sees_their_own_mails(hop_at: Any) -> None:
    hop = hop_at(settings({"main": {"host": "127.0.0.1", "port": 1, "sender": "a@x.test"}}))
    hop.run("email.send", to=["b@x.test"], subject="mine", text="x")
    assert hop.run("email.list_mail").result() == []  # nobody asks
    hop.fetch("UPDATE email_letter SET person = 'ada' RETURNING id")

    async def asked() -> Any:
        return await letters.listed(person="ada"), await letters.listed(person="bob")

    mine, theirs = portal.run(asked(), within_loop=True)
    assert ([one.subject for one in mine], theirs) == (["mine"], [])
    tool = hop.hopyard.task("email.list_mail").tool
    assert tool is not None
    assert tool.read_only


def test_a_classifier_that_does_not_answer_is_given_up_for_the_run(
    hop_at: Any, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopyard.errors import ResultTimeout
    from hopyard_email.incoming import categorizing

    asked = []

    class Silent:
        """Stands for the installation, its task, and the task's handle."""

        @classmethod
        def current(cls) -> Silent:
            return cls()

        def task(self, name: str) -> Silent:
            return self

        async def submit(self, **given: Any) -> Silent:
            asked.append(given)
            return self

        async def result(self, timeout: float) -> str:
            raise ResultTimeout("it goes on")

    monkeypatch.setattr(categorizing, "Hopyard", Silent)
    user = "silent@example.test"
    hop = hop_at(settings({}, incoming={"desk": mailbox(mail, user, labels=["a", "b"])}))
    for n in range(3):
        mail.put(user, b"Subject: mail %d\r\n\r\nx" % n)
    found = hop.run("email.categorize_incoming_email").result()
    assert (found.read, len(asked)) == (3, 1)
    assert "asked no more" in found.notes[0]


@pytest.mark.timeout(60)
def test_mailboxes_do_not_wait_for_each_other(
    hop_at: Any, mail: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopyard_email.incoming import categorizing

    whole, both = categorizing._Reader.run, asyncio.Barrier(2)

    async def run(self: Any) -> None:
        async with asyncio.timeout(20):
            await both.wait()  # only two that run at the same time come past this
        await whole(self)

    monkeypatch.setattr(categorizing._Reader, "run", run)
    users = ["box1@example.test", "box2@example.test"]
    hop = hop_at(settings({}, incoming={user[:4]: mailbox(mail, user) for user in users}))
    for user in users:
        mail.put(user, b"Subject: x\r\n\r\nx")
    assert hop.run("email.categorize_incoming_email").result().labels == {"(none)": 2}


@pytest.mark.parametrize("at", ["0001-01-01 00:00", "9999-12-31 23:59"])
def test_moments_at_the_ends_of_time_are_refused(at: str) -> None:
    from hopyard_email.sending import moments

    with pytest.raises(InvalidInput, match="at: "):
        moments(datetime.fromisoformat(at), None, "Pacific/Kiritimati", None)
