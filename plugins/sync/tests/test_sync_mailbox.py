"""Mailboxes against a real Dovecot, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import imaplib
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hopyard import storage
from hopyard.errors import AuthenticationError, EgressRefused, InvalidInput, TransientError
from hopyard.storage import new_id
from hopyard_sync.imap import syntax
from servers import fresh_database
from sync_servers import Dovecot
from sync_sites import sync_site


@contextmanager
def client(server: Dovecot) -> Iterator[imaplib.IMAP4_SSL]:
    """Somebody else who uses the mailbox."""
    with imaplib.IMAP4_SSL(
        "localhost", server.port, ssl_context=ssl.create_default_context(cafile=server.ca_file)
    ) as made:
        made.login(server.user, server.password)
        yield made


def mail(n: int, size: int = 0) -> bytes:
    return (
        f"From: =?utf-8?q?J=C3=BCrgen?= <j{n}@example.org>\r\nTo: alice@example.test\r\n"
        f"Subject: Letter {n}\r\nMessage-ID: <{n}@example.org>\r\n"
        f"Date: Mon, 2 Mar 2026 10:0{n % 10}:00 +0100\r\n"
        f"\r\nHello {n}\r\n{'x' * size}"
    ).encode()


def folder(prefix: str) -> str:
    return f"{prefix}-{new_id()}"


def add(there: imaplib.IMAP4_SSL, name: str, *numbers: int, size: int = 0) -> None:
    for n in numbers:
        there.append(f'"{name}"', "", "", mail(n, size))  # type: ignore[arg-type]  # no flags, and now


async def stored() -> list[dict[str, Any]]:
    rows = await storage.fetch(
        "SELECT folder, uid, subject, sender, flags, size, content, cut, gone FROM sync_message ORDER BY uid"
    )
    return [dict(row) for row in rows]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_new_messages_flags_and_deletions(
    tmp_path: Path, dovecot: Dovecot, postgres_url: str, database: str
) -> None:
    name = folder("Plain")
    box = {**dovecot.settings, "folders": [f"{name}*"]}
    url = fresh_database(postgres_url) if database == "postgresql" else None
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}, database=url) as site:
        with client(dovecot) as there:
            there.create(f'"{name}"')
            add(there, name, 1, 2, 3)
            preview = await site.sync("post", dry_run=True)
            assert (preview.added, await stored()) == (3, [])
            assert (await site.sync("post")).added == 3
            first = (await stored())[0]
            assert (first["subject"], first["sender"]) == ("Letter 1", "Jürgen <j1@example.org>")
            assert bytes(first["content"]) == mail(1)
            assert json.loads(first["flags"]) == []  # to read them has not made them seen

            again = await site.sync("post")
            assert (again.added, again.changed, again.removed) == (0, 0, 0)

            there.select(f'"{name}"')
            there.uid("STORE", "2", "+FLAGS", "(\\Flagged \\Seen)")
            there.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
            there.expunge()
            add(there, name, 4)
            report = await site.sync("post")
            assert (report.added, report.changed, report.removed) == (1, 1, 1)
            messages = await stored()
            assert [one["gone"] is not None for one in messages] == [True, False, False, False]
            assert json.loads(messages[1]["flags"]) == ["\\Flagged", "\\Seen"]


async def test_a_folder_that_was_made_anew_is_read_anew(tmp_path: Path, dovecot: Dovecot) -> None:
    name = folder("Anew")
    box = {**dovecot.settings, "folders": [f"{name}*"]}
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
        with client(dovecot) as there:
            there.create(f'"{name}"')
            add(there, name, 1, 2)
            await site.sync("post")
            there.delete(f'"{name}"')
            await asyncio.sleep(1.1)  # Dovecot's UIDVALIDITY is the second in which a folder is made
            there.create(f'"{name}"')
            add(there, name, 5)
            report = await site.sync("post")
            assert any("new numbers" in note for note in report.notes)
            assert [one["subject"] for one in await stored() if one["gone"] is None] == ["Letter 5"]
            there.delete(f'"{name}"')
            report = await site.sync("post")
            assert [one for one in await stored() if one["gone"] is None] == []


async def test_a_killed_run_goes_on_behind_its_last_batch(tmp_path: Path, dovecot: Dovecot) -> None:
    name = folder("Kill")
    box = {**dovecot.settings, "folders": [f"{name}*"]}
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
        with client(dovecot) as there:
            there.create(f'"{name}"')
            add(there, name, *range(120))
        job = new_id()
        assert site.child("post", job, kill_at=6) is None  # behind the commit of the first batch
        assert len(await stored()) == 50
        last = site.child("post", job)
        assert last is not None
        assert last["report"]["added"] == 70
        assert sorted(int(str(one["subject"]).split()[1]) for one in await stored()) == [*range(120)]


async def test_long_messages_are_cut_and_odd_names_are_known(tmp_path: Path, dovecot: Dovecot) -> None:
    name = folder("Entw&APw-rfe & more")
    assert syntax.folder_name(b"Entw&APw-rfe &- x") == "Entwürfe & x"
    box = {**dovecot.settings, "folders": ["Entwürfe*"], "max_message_bytes": 1000}
    name = name.replace(" & ", " &- ")
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
        with client(dovecot) as there:
            there.create(f'"{name}"')
            add(there, name, 1, size=5000)
        assert (await site.sync("post")).added == 1
        (one,) = await stored()
        assert (len(one["content"]), bool(one["cut"])) == (1000, True)
        assert one["size"] > 5000
        assert one["folder"].startswith("Entwürfe")


async def test_starttls(tmp_path: Path, dovecot: Dovecot) -> None:
    name = folder("Start")
    box = {**dovecot.settings, "port": dovecot.plain_port, "security": "starttls", "folders": [f"{name}*"]}
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
        with client(dovecot) as there:
            there.create(f'"{name}"')
            add(there, name, 1)
        assert (await site.sync("post")).added == 1


async def test_a_wrong_password_needs_a_person(tmp_path: Path, dovecot: Dovecot) -> None:
    box = {**dovecot.settings, "password": "wrong-password"}
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
        with pytest.raises(AuthenticationError, match="refuses the login") as refused:
            await site.sync("post")
        assert "wrong-password" not in str(refused.value)
        assert (await site.sync("post")).state == "reconnect"


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path, dovecot: Dovecot) -> None:
    box = {**dovecot.settings}
    del box["ca_file"]
    async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
        with pytest.raises(InvalidInput, match="certificate is not to be trusted"):
            await site.sync("post")


async def test_private_addresses_are_refused(tmp_path: Path, dovecot: Dovecot) -> None:
    async with sync_site(tmp_path, {"mailboxes": {"post": dovecot.settings}}, egress='"203.0.113.1"') as site:
        with pytest.raises(EgressRefused):
            await site.sync("post")


@contextmanager
def plain_server(*lines: bytes) -> Iterator[int]:
    """A server that says these lines to whoever connects, and then nothing more."""
    import socket
    import threading

    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        made, _ = listening.accept()
        with made, suppress(OSError):  # the other side hangs up
            for line in lines:
                made.sendall(line)
                made.recv(1000)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


@pytest.mark.parametrize(
    ("lines", "error", "match"),
    [
        ([b"* OK hi\r\n* OK more\r\n"], TransientError, "expected one line"),
        ([b"* OK hi\r\n", b"s OK go\r\n* CAPABILITY AUTH=PLAIN\r\n"], TransientError, "expected one line"),
        ([b"* OK hi\r\n", b"s BAD no\r\n"], InvalidInput, "does not do STARTTLS"),
        ([b"* BYE\r\n"], InvalidInput, "expected"),
        ([b"x" * 20_000], TransientError, "expected one line"),
    ],
)
async def test_nothing_that_is_said_before_tls_counts(
    tmp_path: Path, lines: list[bytes], error: type[Exception], match: str
) -> None:
    with plain_server(*lines) as port:
        box = {"host": "localhost", "port": port, "security": "starttls", "user": "u", "password": "p-123456"}
        async with sync_site(tmp_path, {"mailboxes": {"post": box}}) as site:
            with pytest.raises(error, match=match):
                await site.sync("post")


@pytest.mark.parametrize(
    ("parts", "values"),
    [
        ([b'LIST (\\HasNoChildren) "/" INBOX'], ["LIST", ["\\HasNoChildren"], b"/", "INBOX"]),
        ([b"1 FETCH (UID 7 BODY[]<0> {3}", b"abc", b")"], ["1", "FETCH", ["UID", "7", "BODY[]<0>", b"abc"]]),
        ([b'LIST () NIL "a\\"b"'], ["LIST", [], None, b'a"b']),
        ([b"SEARCH"], ["SEARCH"]),
        ([b"1 FETCH (BODY[HEADER.FIELDS (DATE)] NIL)"], ["1", "FETCH", ["BODY[HEADER.FIELDS (DATE)]", None]]),
    ],
)
def test_answers_are_read(parts: list[bytes], values: list[Any]) -> None:
    assert syntax.parse(parts) == values


@pytest.mark.parametrize("line", [b"(" * 100, b"(a", b"a)", b'"abc'])
def test_what_is_no_imap_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidInput):
        syntax.parse([line])


def test_sets_of_numbers() -> None:
    assert syntax.as_set([1, 2, 3, 7, 9, 10]) == "1:3,7,9:10"
    assert syntax.as_set([]) == ""
