"""Mailboxes on servers that lie: nothing is lost, what cannot be read costs itself, the truth makes it well.

`HOPYARD_INTERNAL_SYNC_LIES` (6) is how many random runs there are.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lying_imap
import pytest
from hopyard import storage
from hopyard.errors import AuthenticationError, HopyardError, InvalidInput, TimeLimitExceeded
from hopyard_sync.engine import runner
from hopyard_sync.imap import syntax
from lying_imap import Box, LyingImap, running_lying_imap
from sync_sites import SyncSite, sync_site

RUNS = int(os.environ.get("HOPYARD_INTERNAL_SYNC_LIES", "6"))
ROUNDS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LyingImap]:
    with running_lying_imap(tmp_path / "server") as made:
        yield made


def box(*texts: str) -> Box:
    made = Box()
    for text in texts:
        made.add(f"Subject: {text}\r\n\r\n{text}".encode())
    return made


def site_of(folder: Path, server: LyingImap, **more: Any) -> Any:
    return sync_site(folder, {"mailboxes": {"post": {**server.settings, **more}}})


async def stored() -> dict[tuple[str, int, int], bytes]:
    """Return what is in the mailbox as the table knows it."""
    rows = await storage.fetch(
        "SELECT folder, uidvalidity, uid, content FROM sync_message WHERE gone IS NULL"
    )
    return {(row["folder"], row["uidvalidity"], row["uid"]): bytes(row["content"]) for row in rows}


def there(server: LyingImap) -> dict[tuple[str, int, int], bytes]:
    return {
        (name, one.uidvalidity, uid): message
        for name, one in server.boxes.items()
        for uid, message in one.messages.items()
    }


async def aside() -> dict[str, str]:
    return {row["what"]: row["reason"] for row in await storage.fetch("SELECT * FROM sync_set_aside")}


async def nothing_left(site: SyncSite) -> None:
    again = await site.sync("post")
    assert (again.added, again.changed, again.removed, again.set_aside) == (0, 0, 0, 0), again


@pytest.mark.parametrize("seed", range(RUNS))
async def test_whatever_a_server_says_the_truth_makes_it_well(
    tmp_path: Path, server: LyingImap, seed: int
) -> None:
    rng = random.Random(f"mail {seed}")
    server.boxes = {"A": Box(), "B": Box()}
    async with site_of(tmp_path, server) as site:
        for round_ in range(ROUNDS):
            edit(server, rng, round_)
            share = rng.choice((0.1, 0.3, 0.7))

            def lie(what: str, name: str, share: float = share) -> str | None:
                return rng.choice(lying_imap.LIES[what]) if rng.random() < share else None

            server.lie = lie
            rows = await storage.fetch("SELECT count(*) AS n FROM sync_message")
            with contextlib.suppress(HopyardError):
                await site.sync("post")
            after = await storage.fetch("SELECT count(*) AS n FROM sync_message")
            assert after[0]["n"] >= rows[0]["n"], "messages are never deleted, only marked"
            server.lie = lambda what, name: None
            report = await site.sync("post")
            assert await stored() == there(server)
            assert await aside() == {}, report
            await nothing_left(site)


def edit(server: LyingImap, rng: random.Random, round_: int) -> None:
    for one in server.boxes.values():
        for n in range(rng.randint(0, 5)):
            one.add(f"Subject: {round_} {n}\r\n\r\n{rng.getrandbits(64)}".encode())
        for uid in rng.sample(sorted(one.messages), min(len(one.messages), rng.randint(0, 2))):
            del one.messages[uid]
        if rng.random() < 0.2:
            one.uidvalidity += 1


async def test_one_folder_and_one_message_cost_themselves(tmp_path: Path, server: LyingImap) -> None:
    server.boxes = {"A": box("a"), "B": box(*(str(n) for n in range(120)))}
    server.lie = lambda what, name: "NO" if (what, name) in (("examine", "A"), ("body", "77")) else None
    async with site_of(tmp_path, server) as site:
        report = await site.sync("post")
        assert (report.added, report.set_aside) == (119, 2)
        assert (await aside()).keys() == {"A", "B 77"}
        assert "message 77 is damaged" in (await aside())["B 77"]
        server.lie = lambda what, name: None
        assert (await site.sync("post")).added == 2
        assert await aside() == {}


async def test_what_was_gone_comes_back(tmp_path: Path, server: LyingImap) -> None:
    """A folder that is not listed once, or not wanted once; numbers that go back; a search without finds."""
    server.boxes = {"A": box("a", "b")}
    kept = server.boxes["A"]
    async with site_of(tmp_path, server) as site:
        assert (await site.sync("post")).added == 2
        server.boxes = {}
        assert (await site.sync("post")).removed == 2
        server.boxes = {"A": kept}
        assert (await site.sync("post")).added == 2

        settings = runner.settings().mailboxes["post"]
        object.__setattr__(settings, "folders", ("*", "!A"))
        assert (await site.sync("post")).removed == 2
        object.__setattr__(settings, "folders", ("*",))
        assert (await site.sync("post")).added == 2

        kept.uidvalidity = 2
        await site.sync("post")
        kept.uidvalidity = 1
        await site.sync("post")
        assert await stored() == there(server)

        server.boxes = {"A": Box(next_uid=3)}
        assert (await site.sync("post")).removed == 2
        server.boxes = {"A": kept}
        assert (await site.sync("post")).added == 2
        assert await stored() == there(server)


async def test_another_account_is_read_anew(tmp_path: Path, server: LyingImap) -> None:
    server.boxes = {"A": box("a", "b")}
    async with site_of(tmp_path, server) as site:
        await site.sync("post")
        server.boxes = {"A": box("c", "d", "e")}
        object.__setattr__(runner.settings().mailboxes["post"], "user", "bob")
        report = await site.sync("post")
        assert (report.removed, report.added) == (2, 3)
        assert await stored() == there(server)


async def test_a_full_run_reads_bodies_again(tmp_path: Path, server: LyingImap) -> None:
    made = Box()
    made.add(b"Subject: long\r\n\r\n" + b"x" * 3000)
    server.boxes = {"A": made}
    async with site_of(tmp_path, server, max_message_bytes=1000) as site:
        await site.sync("post")
        assert [len(content) for content in (await stored()).values()] == [1000]
        object.__setattr__(runner.settings().mailboxes["post"], "max_message_bytes", 10_000)
        assert (await site.sync("post")).changed == 0
        report = await site.sync("post", full=True)
        assert (report.added, report.changed) == (0, 1)
        assert await stored() == there(server)
        (row,) = await storage.fetch("SELECT cut FROM sync_message")
        assert not row["cut"]


# --- servers that hold on


async def test_a_server_that_asks_for_ever_is_left(tmp_path: Path, server: LyingImap) -> None:
    def hook(tag: bytes, rest: bytes, say: Any, lines: Any) -> bool:
        if rest.startswith(b"AUTHENTICATE"):
            say(b"+ \r\n")
            while lines.readline():
                say(b"+ \r\n")
        return False

    server.hook = hook
    async with site_of(tmp_path, server) as site:
        with pytest.raises(InvalidInput, match="asks again and again"):
            await site.sync("post")


@pytest.mark.parametrize("command", [b"CAPABILITY", b"LIST"])
async def test_a_server_that_always_says_something_is_left(
    tmp_path: Path, server: LyingImap, command: bytes
) -> None:
    """Each line comes in time, and none of them is the end: of the login, of a command."""
    stop = threading.Event()

    def hook(tag: bytes, rest: bytes, say: Any, lines: Any) -> bool:
        while rest.startswith(command) and not stop.wait(0.1):
            say(b"* OK wait\r\n")
        return False

    server.hook = hook
    async with site_of(tmp_path, server, timeout=0.5) as site:
        with pytest.raises(TimeLimitExceeded):
            await site.sync("post")
    stop.set()


async def test_what_a_server_sends_beyond_what_was_asked_for_is_not_kept(
    tmp_path: Path, server: LyingImap
) -> None:
    megabytes = 300
    server.boxes = {"A": box("a")}

    def hook(tag: bytes, rest: bytes, say: Any, lines: Any) -> bool:
        if not rest.startswith(b"LIST"):
            return False
        for _ in range(megabytes // 10):
            say(b"* LIST () NIL {10000000}\r\n" + b"x" * 10_000_000 + b"\r\n")
        say(tag + b" OK done\r\n")
        return True

    server.hook = hook
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with site_of(tmp_path, server) as site:
        with pytest.raises(InvalidInput, match="longer than what was asked for"):
            await site.sync("post")
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < megabytes / 2
        server.hook = None
        assert (await site.sync("post")).added == 1


async def test_a_message_that_is_longer_than_was_asked_for_costs_itself(
    tmp_path: Path, server: LyingImap
) -> None:
    made = box("a", "b")
    made.add(b"Subject: huge\r\n\r\n" + b"x" * 30_000_000)
    server.boxes = {"A": made}
    server.lie = lambda what, name: "wrong size" if what == "meta" else None
    async with site_of(tmp_path, server, max_message_bytes=1000) as site:
        report = await site.sync("post")
        assert (report.added, report.set_aside) == (2, 1)
        assert "longer than" in (await aside())["A 3"]


async def test_a_login_that_is_repeated_is_masked(tmp_path: Path, server: LyingImap) -> None:
    said: list[bytes] = []

    def hook(tag: bytes, rest: bytes, say: Any, lines: Any) -> bool:
        if rest.startswith(b"AUTHENTICATE"):
            say(b"+ \r\n")
            said.append(lines.readline().strip())
            say(tag + b" NO [AUTHENTICATIONFAILED] " + b"." * 150 + said[0] + b"\r\n")
            return True
        return False

    server.hook = hook
    async with site_of(tmp_path, server) as site:
        with pytest.raises(AuthenticationError):
            await site.sync("post")
        (row,) = await storage.fetch("SELECT error, report FROM sync_connection")
    assert base64.b64decode(said[0]) == b"\0alice\0canary-of-alice"
    assert said[0][:20].decode() not in row["error"] + row["report"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("7", 7), ("4294967295", 2**32 - 1), ("4294967296", None), ("9" * 5000, None), ("-1", None)],
)
def test_numbers(text: str, found: int | None) -> None:
    assert syntax.number(text) == found
