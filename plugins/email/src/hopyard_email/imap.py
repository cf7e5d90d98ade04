"""IMAP: a session with a mailbox, over a connection that the address policy has allowed.

Its methods wait; they are called in threads. What a server sends is bounded: a line, a part of a mail.
"""

from __future__ import annotations

import asyncio
import imaplib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hopyard import Hopyard
from hopyard.errors import AuthenticationError, InvalidInput, TransientError

from hopyard_email.oauth import access_token
from hopyard_email.tls import context_for

if TYPE_CHECKING:
    from imap_tools import BaseMailBox

    from hopyard_email.settings import Mailbox

#: The largest piece that a server may send at once, in bytes.
_MOST: Final = 110_000_000
#: Mails that are asked about at once.
_PAGE: Final = 100
_ITEM: Final = re.compile(rb"\bUID (\d+)")
_SIZE: Final = re.compile(rb"\bRFC822\.SIZE (\d+)")


class Found(NamedTuple):
    """A mail in a folder: its UID, size in bytes, and the bytes that were asked for."""

    uid: int
    size: int
    raw: bytes


class _Client(imaplib.IMAP4):
    """imaplib's client over a connection that is there already."""

    def __init__(self, sock: socket.socket, host: str, timeout: float) -> None:
        self._given = sock
        super().__init__(host, 0, timeout)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._given

    def read(self, size: int) -> bytes:
        """Read so many bytes, which the server has announced."""
        if size > _MOST:
            raise self.abort(f"the server announced {size:,} bytes, expected at most {_MOST:,}")
        return super().read(size)


class Session:
    """An open, logged-in session. Made by `opened`."""

    def __init__(self, box: BaseMailBox, place: str) -> None:
        self._box = box
        self._place = place

    @property
    def can_idle(self) -> bool:
        """Whether the server tells of new mail by itself (RFC 2177)."""
        return "IDLE" in self._box.client.capabilities

    def select(self, folder: str, *, readonly: bool = False) -> tuple[int, int]:
        """Open a folder; return its UIDVALIDITY and the UID that the next mail will get (0: not said)."""
        self._box.folder.set(folder, readonly=readonly)
        status = self._box.folder.status(folder, ("UIDVALIDITY", "UIDNEXT"))
        return status["UIDVALIDITY"], status.get("UIDNEXT", 0)

    def uids_above(self, last: int) -> list[int]:
        """Return the UIDs above one, in order."""
        # `n:*` is never empty: it has the last mail at least.
        found = self._box.uids(f"UID {last + 1}:*", charset=None)
        return sorted(uid for uid in map(int, found) if uid > last)

    def sizes(self, uids: Sequence[int]) -> dict[int, int]:
        """Return the size of each mail that is still there, in bytes."""
        return {one.uid: one.size for one in self._fetch(uids, "(UID RFC822.SIZE)")}

    def read(self, uid: int, most: int, *, headers_only: bool = False) -> bytes:
        """Return the beginning of a mail, or of its headers, and leave it unread; empty if it is gone."""
        part = "HEADER" if headers_only else ""
        found = [*self._fetch([uid], f"(UID BODY.PEEK[{part}]<0.{most}>)")]
        return found[0].raw if found else b""

    def letters_with(self, message_id: str, header: str) -> list[str]:
        """Return the values of a header in the mails that have this Message-ID; empty where one has none."""
        if not re.fullmatch(r"<[!#-\[\]-~]{1,400}>", message_id):
            raise InvalidInput(f"{message_id!r} is no Message-ID that can be looked for")
        uids = [int(uid) for uid in self._box.uids(f'HEADER Message-ID "{message_id}"', charset=None)]
        items = f"(UID BODY.PEEK[HEADER.FIELDS ({header})]<0.8192>)"
        pages = [uids[start : start + _PAGE] for start in range(0, len(uids), _PAGE)]
        found = [one for page in pages for one in self._fetch(page, items)]
        return [one.raw.decode("ascii", "replace").partition(":")[2].strip() for one in found]

    def flag(self, uid: int, flag: str) -> None:
        """Give a mail a flag."""
        self._box.flag([str(uid)], [flag], True)

    def move(self, uid: int, folder: str) -> None:
        """Move a mail, which may be gone already, to a folder, which is made if it is not there."""
        if not self._box.folder.exists(folder):
            self._box.folder.create(folder)
        self._box.move([str(uid)], folder)

    def wait(self, seconds: float) -> bool:
        """Wait until the server tells something about the folder, at most so long. False: nothing."""
        return bool(self._box.idle.wait(timeout=seconds))

    def _fetch(self, uids: Sequence[int], items: str) -> Iterator[Found]:
        if not uids:
            return
        status, data = self._box.client.uid("FETCH", ",".join(map(str, uids)), items)
        if status != "OK":
            raise TransientError(f"{self._place}: FETCH was answered {status}")
        yield from _found(data)

    def close(self) -> None:
        """Log out."""
        from imap_tools import ImapToolsError

        # The connection may be gone: nothing is lost by that.
        with suppress(imaplib.IMAP4.error, ImapToolsError, OSError):
            self._box.logout()
        with suppress(OSError):
            self._box.client.shutdown()


def _found(data: Sequence[Any]) -> Iterator[Found]:
    """Yield what a FETCH was answered: pairs of description and bytes, or descriptions alone."""
    for n, item in enumerate(data):
        head, raw = item if isinstance(item, tuple) else (item, b"")
        if not isinstance(head, bytes):
            continue
        # Some servers name the UID behind the bytes.
        after = data[n + 1] if n + 1 < len(data) and isinstance(data[n + 1], bytes) else b""
        uid = _ITEM.search(head) or (_ITEM.search(after) if isinstance(item, tuple) else None)
        if uid is None:
            continue
        size = _SIZE.search(head) or _SIZE.search(after)
        yield Found(int(uid[1]), int(size[1]) if size else 0, raw)


@asynccontextmanager
async def opened(mailbox: Mailbox) -> AsyncIterator[Session]:
    """Open a session, which ends with the block.

    Raises `TransientError` where the server is not reached or fails, `AuthenticationError` where it refuses
    the login or its certificate is not trusted, `EgressRefused` where it may not be reached.
    """
    import imap_tools

    host, port = mailbox.place
    place = f"{host}:{port}"
    try:
        session = await _connected(mailbox, renew=False)
    except AuthenticationError:
        if mailbox.oauth is None or mailbox.oauth.token is not None:
            raise
        session = await _connected(mailbox, renew=True)  # the token may have been taken back
    try:
        yield session
    except (imaplib.IMAP4.error, imap_tools.ImapToolsError, OSError) as error:
        raise TransientError(f"{place}: {type(error).__name__}: {str(error)[:300]}") from error
    finally:
        await asyncio.to_thread(session.close)


async def _connected(mailbox: Mailbox, *, renew: bool) -> Session:
    host, port = mailbox.place
    token = await access_token(mailbox.oauth, renew=renew) if mailbox.oauth else None
    sock = await Hopyard.current().egress.connect(host, port, timeout=mailbox.timeout)
    try:
        return await asyncio.to_thread(_open, mailbox, sock, token)
    except BaseException as error:
        sock.close()
        raise _refused(error, f"{host}:{port}") from error


def _open(mailbox: Mailbox, sock: socket.socket, token: str | None) -> Session:
    from imap_tools import BaseMailBox

    host = mailbox.host
    context = context_for(mailbox)
    wrapped: socket.socket = sock
    if mailbox.security == "tls":
        wrapped = context.wrap_socket(sock, server_hostname=host)

    class Box(BaseMailBox):
        def _get_mailbox_client(self) -> imaplib.IMAP4:
            return _Client(wrapped, host, mailbox.timeout)

    box = None
    try:
        box = Box()
        if mailbox.security == "starttls":
            box.client.starttls(context)
        _log_in(box, mailbox, token)
    except BaseException:
        if box is not None:
            with suppress(OSError):
                box.client.shutdown()
        wrapped.close()
        raise
    return Session(box, host)


def _log_in(box: BaseMailBox, mailbox: Mailbox, token: str | None) -> None:
    user = mailbox.user or ""
    if token is not None:
        box.xoauth2(user, token, initial_folder=None)
    elif mailbox.password is not None:
        password = mailbox.password.get_secret_value()
        log_in = box.login if (user + password).isascii() else box.login_utf8
        log_in(user, password, initial_folder=None)
    else:
        raise InvalidInput("expected `password` or `oauth`: a mailbox is read by who owns it")


def _refused(error: BaseException, place: str) -> BaseException:
    from imap_tools import MailboxLoginError

    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthenticationError(f"{place}: its certificate is not trusted: {error.verify_message}")
    if isinstance(error, imaplib.IMAP4.abort | OSError):
        return TransientError(f"{place}: {type(error).__name__}: {error}")
    if isinstance(error, MailboxLoginError | imaplib.IMAP4.error):
        return AuthenticationError(f"{place} refused the login")
    return error
