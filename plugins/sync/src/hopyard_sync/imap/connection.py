"""A connection to an IMAP server: TLS, login, commands and their answers, within bounds."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from hopyard import Hopyard
from hopyard.errors import AuthenticationError, InvalidInput, TimeLimitExceeded, TransientError

from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.imap import syntax

if TYPE_CHECKING:
    import socket

    from hopyard_sync.settings import MailboxConnection

#: The longest line, in octets: a list of a million UIDs fits.
_MAX_LINE: Final = 16_000_000
_MAX_ANSWERS: Final = 1_000_000
#: What a server says with its NO where another try later may work (RFC 5530).
_PASSES: Final = ("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "OVERQUOTA")


@dataclass(slots=True)
class Answer:
    """What a command was answered: untagged answers as values, the words of the tagged one."""

    untagged: list[list[Any]] = field(default_factory=list)
    code: str = ""
    text: str = ""

    def of(self, kind: str) -> list[list[Any]]:
        """Return the untagged answers of a kind, such as SEARCH or, behind its number, FETCH."""
        return [
            one
            for one in self.untagged
            if any(isinstance(part, str) and part.upper() == kind for part in one[:2])
        ]

    def said(self, name: str) -> int | None:
        """Return the number of a response code such as UIDVALIDITY."""
        for one in self.untagged:
            words = str(one[1])[1:-1].split(" ") if len(one) == 2 else []
            if words[:1] == [name] and words[1:] and words[1].isdecimal():
                return int(words[1])
        return None


class Imap:
    """Use as `async with`. Every answer is waited for `timeout` seconds."""

    def __init__(self, name: str, settings: MailboxConnection) -> None:
        self.capabilities: frozenset[str] = frozenset()
        self.commands = 0
        self._name = name
        self._settings = settings
        self._place = f"{name}: {settings.host}:{settings.port}"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        own = self._settings
        tls = await asyncio.to_thread(_context, own.ca_file)
        made = await Hopyard.current().egress.connect(own.host, own.port, timeout=own.timeout)
        try:
            made.setblocking(False)
            if own.security == "starttls":
                await self._within(_start_tls(made, self._place))
            self._reader, self._writer = await self._within(
                asyncio.open_connection(sock=made, ssl=tls, server_hostname=own.host, limit=_MAX_LINE)
            )
        except BaseException:
            made.close()
            raise
        try:
            if own.security == "tls":
                await self._greeting()
            await self._log_in()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(2):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):  # it is closed, whatever the other side says
            self._writer.transport.abort()

    async def _within(self, work: Any) -> Any:
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await work
        except TimeoutError as error:
            raise TimeLimitExceeded(
                f"{self._place} did not answer within {self._settings.timeout:g} s"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise InvalidInput(
                f"{self._place}: its certificate is not to be trusted: {error.verify_message}"
            ) from error
        except (OSError, EOFError) as error:
            raise TransientError(f"{self._place}: {type(error).__name__}: {error}") from error

    async def _greeting(self) -> None:
        values = syntax.parse(await self._within(self._response()))
        if [str(one).upper() for one in values[:2]] not in (["*", "OK"], ["*", "PREAUTH"]):
            raise TransientError(f"{self._place} greets with {str(values)[:100]}, expected OK")

    async def _log_in(self) -> None:
        own = self._settings
        self.capabilities = await self._capabilities()
        if own.oauth is not None:
            token = await OAuth2(self._name, own.oauth).token()
            await self._authenticate("XOAUTH2", f"user={own.user}\x01auth=Bearer {token}\x01\x01")
        else:
            assert own.password is not None  # noqa: S101 - the settings' model sees to it
            await self._authenticate("PLAIN", f"\0{own.user}\0{own.password.get_secret_value()}")
        self.capabilities = await self._capabilities()

    async def _capabilities(self) -> frozenset[str]:
        found = (await self.command("CAPABILITY")).of("CAPABILITY")
        return frozenset(str(one).upper() for line in found for one in line[1:])

    async def _authenticate(self, mechanism: str, secret: str) -> None:
        if f"AUTH={mechanism}" not in self.capabilities:
            raise InvalidInput(f"{self._place} does not take {mechanism}, expected a server that does")
        await self._within(self._send(f"a{self.commands} AUTHENTICATE {mechanism}\r\n".encode()))
        answered = False
        while True:
            parts = await self._within(self._response())
            if parts[0].startswith(b"+"):
                # A second question is XOAUTH2's way to tell an error, to be answered with nothing.
                line = b"" if answered else base64.b64encode(secret.encode())
                answered = True
                await self._within(self._send(line + b"\r\n"))
            elif parts[0].startswith(f"a{self.commands} ".encode()):
                break
        self.commands += 1
        word, _, text = parts[0].partition(b" ")[2].decode("ascii", "replace").partition(" ")
        if word.upper() != "OK":
            told = f"{self._place} refuses the login: {text[:200]}"
            raise TransientError(told) if _code(text) in _PASSES else AuthenticationError(told)

    async def command(self, *words: str | bytes) -> Answer:
        """Send a command and return its answer; bytes are strings of any letters, sent quoted or as literals.

        Raises `InvalidInput` where it is refused (NO, BAD), `TransientError` where the server goes away.
        """
        tag = f"a{self.commands}".encode()
        self.commands += 1
        await self._within(self._say(tag, words))
        answer = Answer()
        while True:
            parts = await self._within(self._response())
            if parts[0].startswith(b"* "):
                self._take(answer, parts)
            elif parts[0].startswith(tag + b" "):
                return self._ended(answer, parts[0], words)

    def _take(self, answer: Answer, parts: Sequence[bytes]) -> None:
        kind = parts[0][2:6].upper()
        if kind.startswith(b"BYE"):
            raise TransientError(f"{self._place} goes away: {parts[0][6:200]!r}")
        if len(answer.untagged) >= _MAX_ANSWERS:
            raise InvalidInput(f"{self._place}: found more than {_MAX_ANSWERS:,} answers to one command")
        if kind.startswith((b"OK ", b"NO ", b"BAD ")):  # what follows a code is plain text
            text = parts[0][2:].decode("ascii", "replace")
            answer.untagged.append([text.split(" ")[0], f"[{text.partition('[')[2].partition(']')[0]}]"])
        else:
            answer.untagged.append(syntax.parse([parts[0][2:], *parts[1:]]))

    def _ended(self, answer: Answer, line: bytes, words: Sequence[str | bytes]) -> Answer:
        word, _, text = line.partition(b" ")[2].decode("ascii", "replace").partition(" ")
        answer.code, answer.text = _code(text), text
        if word.upper() == "OK":
            return answer
        told = f"{self._place}: {words[0]!s} was answered {word}: {text[:200]}"
        raise TransientError(told) if answer.code in _PASSES else InvalidInput(told)

    async def _say(self, tag: bytes, words: Sequence[str | bytes]) -> None:
        line = tag
        for word in words:
            line += b" "
            if isinstance(word, str):
                line += word.encode("ascii")
                continue
            try:
                line += syntax.quoted(word)
            except InvalidInput:
                await self._send(line + b"{%d}\r\n" % len(word))
                if not (await self._response())[0].startswith(b"+"):
                    raise InvalidInput(f"{self._place} does not take a literal") from None
                line = word
        await self._send(line + b"\r\n")

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _response(self) -> list[bytes]:
        """Return a response: lines without their ends, and between them the literals that they announce."""
        parts: list[bytes] = []
        room = self._settings.max_message_bytes + _MAX_LINE
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.IncompleteReadError as error:
                raise EOFError("the connection was closed") from error
            except asyncio.LimitOverrunError as error:
                raise InvalidInput(
                    f"{self._place}: found a line of more than {_MAX_LINE:,} octets"
                ) from error
            parts.append(line[:-2])
            length = syntax.literal_length(line[:-2])
            if length is None:
                return parts
            room -= length
            if room < 0:
                raise InvalidInput(
                    f"{self._place}: found a literal of {length:,} octets: more than was asked for"
                )
            try:
                parts.append(await self._reader.readexactly(length))
            except asyncio.IncompleteReadError as error:
                raise EOFError("the connection was closed") from error


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"ca_file: found {ca_file}, expected a file of certificates in PEM ({error})"
        ) from None


async def _start_tls(made: socket.socket, place: str) -> None:
    """Have the server begin with TLS, before anything else is said.

    Nothing that came in clear is kept: a server, or somebody between, that sends more than its answer is
    refused, since that would count as said within TLS.
    """
    loop = asyncio.get_running_loop()
    await _clear_line(loop, made, b"* OK", place)
    await loop.sock_sendall(made, b"s STARTTLS\r\n")
    await _clear_line(loop, made, b"s OK", place)


async def _clear_line(
    loop: asyncio.AbstractEventLoop, made: socket.socket, begins: bytes, place: str
) -> None:
    line = b""
    while not line.endswith(b"\r\n"):
        more = await loop.sock_recv(made, 1000)
        line += more
        if not more or len(line) > 10_000 or line.count(b"\n") > 1:
            raise TransientError(f"{place}: found {line[:60]!r}, expected one line")
    if not line.upper().startswith(begins.upper()):
        raise InvalidInput(
            f"{place}: found {line[:100]!r}, expected {begins.decode()}: it does not do STARTTLS"
        )


def _code(text: str) -> str:
    """Return the response code of a tagged answer, such as AUTHENTICATIONFAILED."""
    return text[1:].partition("]")[0].split(" ")[0].upper() if text.startswith("[") else ""
