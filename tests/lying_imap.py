"""An IMAP server that can lie: `lie` is asked before each answer whether, and how.

It has folders of messages by UID, and speaks as much of IMAP4rev1 as reading a mailbox needs.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sync_servers

Lie = Callable[[str, str], str | None]
"""Given the command (`list`, `examine`, `search`, `meta`, `body`, `flags`, `login`) and the folder or message
it is about, how to lie, or None: see `LyingImap`."""

#: What may be said in the place of the truth: by command.
LIES = {
    "list": ("left out", "odd line"),
    "examine": ("NO", "BAD", "no uidvalidity", "huge uidvalidity", "wrong count"),
    "search": ("NO", "empty", "left out", "huge uid", "odd line"),
    "meta": ("NO", "left out", "odd line", "no size", "wrong size"),
    "body": ("NO", "left out", "nil", "odd line"),
    "flags": ("NO", "left out", "odd line"),
}


@dataclass
class Box:
    """A folder: messages by UID."""

    messages: dict[int, bytes] = field(default_factory=dict)
    uidvalidity: int = 1
    next_uid: int = 1

    def add(self, message: bytes) -> int:
        """Deliver a message; return its UID."""
        uid, self.next_uid = self.next_uid, self.next_uid + 1
        self.messages[uid] = message
        return uid


class LyingImap:
    """Use `running_lying_imap`. `hook` may answer a command itself and return True."""

    def __init__(self, folder: Path) -> None:
        self.boxes: dict[str, Box] = {}
        self.lie: Lie = lambda what, name: None
        self.hook: Callable[[bytes, bytes, Callable[[bytes], None], Any], bool] | None = None
        self.commands: list[bytes] = []
        sync_servers.certificate(folder)
        self._folder = folder
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def settings(self) -> dict[str, Any]:
        """What a connection of the plugin needs."""
        login = {"user": "alice", "password": "canary-of-alice", "ca_file": str(self._folder / "cert.pem")}
        return {"host": "localhost", "port": self._listening.getsockname()[1], "timeout": 20, **login}

    def close(self) -> None:
        """Stop."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                made, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(made,), daemon=True).start()

    def _talk(self, made: socket.socket) -> None:
        with (
            suppress(OSError),
            made,
            self._tls.wrap_socket(made, server_side=True) as tls,
            tls.makefile("rb") as lines,
        ):
            tls.sendall(b"* OK hello\r\n")
            box = Box()
            while line := lines.readline():
                tag, _, rest = line.strip().partition(b" ")
                self.commands.append(rest)
                if self.hook is not None and self.hook(tag, rest, tls.sendall, lines):
                    continue
                if rest.startswith(b"AUTHENTICATE"):
                    tls.sendall(b"+ \r\n")
                    lines.readline()
                elif rest.startswith(b"EXAMINE"):
                    box = self.boxes.get(_name(rest), Box())
                told, ended = self._answer(rest.decode(), box)
                tls.sendall(b"".join(one + b"\r\n" for one in told) + tag + b" " + ended + b"\r\n")

    def _answer(self, words: str, box: Box) -> tuple[list[bytes], bytes]:
        if words.startswith("CAPABILITY"):
            return [b"* CAPABILITY IMAP4rev1 AUTH=PLAIN"], b"OK done"
        if words.startswith("LIST"):
            return self._list(), b"OK done"
        if words.startswith("EXAMINE"):
            return self._examine(_name(words.encode()), box)
        if words.startswith("UID SEARCH"):
            return self._search(box)
        if words.startswith("UID FETCH"):
            kind = "body" if "BODY" in words else "meta" if "SIZE" in words else "flags"
            return self._fetch(kind, words.split()[2], box)
        return [], b"OK done"

    def _list(self) -> list[bytes]:
        told = []
        for name in self.boxes:
            lie = self.lie("list", name)
            if lie == "odd line":
                told.append(b'* LIST () "/" (')
            elif lie != "left out":
                told.append(f'* LIST () "/" "{name}"'.encode())
        return told

    def _examine(self, name: str, box: Box) -> tuple[list[bytes], bytes]:
        lie = self.lie("examine", name)
        if lie in ("NO", "BAD"):
            return [], f"{lie} not now".encode()
        exists = len(box.messages) + (lie == "wrong count")
        told = [b"* %d EXISTS" % exists, b"* OK [UIDNEXT %d] next" % box.next_uid]
        if lie == "huge uidvalidity":
            told.append(b"* OK [UIDVALIDITY %s] x" % (b"9" * 5000))
        elif lie != "no uidvalidity":
            told.append(b"* OK [UIDVALIDITY %d] x" % box.uidvalidity)
        return told, b"OK done"

    def _search(self, box: Box) -> tuple[list[bytes], bytes]:
        lie = self.lie("search", "")
        if lie == "NO":
            return [], b"NO not now"
        uids = [str(uid) for uid in box.messages]
        uids = [] if lie == "empty" else uids[1:] if lie == "left out" else uids
        uids += [str(2**70)] if lie == "huge uid" else []
        return [f"* SEARCH {' '.join(uids)}{' (' if lie == 'odd line' else ''}".encode()], b"OK done"

    def _fetch(self, kind: str, numbers: str, box: Box) -> tuple[list[bytes], bytes]:
        wanted = set[int]()
        for part in numbers.split(","):
            first, _, last = part.partition(":")
            wanted |= {*range(int(first), int(last or first) + 1)}
        told: list[bytes] = []
        for n, (uid, message) in enumerate(box.messages.items(), 1):
            if uid not in wanted:
                continue
            lie = self.lie(kind, str(uid))
            if lie == "NO":
                return told, b"NO message %d is damaged" % uid
            if lie != "left out":
                told.append(b"* %d FETCH (UID %d " % (n, uid) + _items(kind, lie, message))
        return told, b"OK done"


def _items(kind: str, lie: str | None, message: bytes) -> bytes:
    if lie == "odd line":
        return b"FLAGS ("
    if kind == "flags":
        return b"FLAGS ())"
    if kind == "meta":
        size = 1 if lie == "wrong size" else len(message)
        told = b"" if lie == "no size" else b" RFC822.SIZE %d" % size
        return b'FLAGS ()%s INTERNALDATE "01-Jan-2026 00:00:00 +0000")' % told
    if lie == "nil":
        return b"BODY[]<0> NIL)"
    return b"BODY[]<0> {%d}\r\n%s)" % (len(message), message)


def _name(words: bytes) -> str:
    match = re.search(rb'"(.*?)"', words)
    return match[1].decode() if match else ""


@contextmanager
def running_lying_imap(folder: Path) -> Iterator[LyingImap]:
    """A server until the block ends, with its certificate in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = LyingImap(folder)
    try:
        yield made
    finally:
        made.close()
