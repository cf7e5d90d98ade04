"""A connection to an IMAP server: TLS, login, commands and their answers, within bounds."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from hopyard import Hopyard, conceal, redact
from hopyard.errors import AuthenticationError, InvalidInput, TimeLimitExceeded, TransientError

from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.imap import syntax, tls
from hopyard_sync.imap.answers import Answer, Refused, RefusedForNow

if TYPE_CHECKING:
    from hopyard_sync.settings import MailboxConnection

#: The longest line, in octets: a list of a million UIDs fits.
_MAX_LINE: Final = 16_000_000
#: A line of so many octets is parsed in a thread.
_LARGE_LINE: Final = 100_000
#: Untagged answers to one command, and octets of all of them together, beside those of messages.
_MAX_ANSWERS: Final = 200_000
_MAX_OCTETS: Final = 20_000_000
#: Octets beyond that which are read and thrown away, until the answer ends; then the connection is given up.
_MAX_DRAINED: Final = 1_000_000_000
#: Timeouts that a whole command may last, and a login; octets a second that messages may come in slowly.
_COMMAND: Final = 4
_LOGIN: Final = 3
_SLOWEST: Final = 50_000
#: What a server says with its NO where another try later may work (RFC 5530).
_PASSES: Final = ("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "OVERQUOTA")

T = TypeVar("T")


class Imap:
    """Use as `async with`.

    Each line of an answer is waited for `timeout` seconds, and a command or the login as a whole for a few
    times that: a server that always says something does not hold a job for ever.
    """

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
        login = await self._credentials()
        context = await asyncio.to_thread(tls.context, own.ca_file)
        made = await Hopyard.current().egress.connect(own.host, own.port, timeout=own.timeout)
        try:
            made.setblocking(False)
            if own.security == "starttls":
                await self._within(tls.start(made, self._place))
            self._reader, self._writer = await self._within(
                asyncio.open_connection(sock=made, ssl=context, server_hostname=own.host, limit=_MAX_LINE)
            )
        except BaseException:
            made.close()
            raise
        try:
            await self._within(self._log_in(*login), _LOGIN * own.timeout)
        except BaseException:
            await self._close()
            raise
        return self

    async def _credentials(self) -> tuple[str, str]:
        """Return the mechanism of the login, and what is said by it in base64."""
        own = self._settings
        if own.oauth is not None:
            token = await OAuth2(self._name, own.oauth).token()
            mechanism, secret = "XOAUTH2", f"user={own.user}\x01auth=Bearer {token}\x01\x01"
        else:
            assert own.password is not None  # noqa: S101 - the settings' model sees to it
            mechanism, secret = "PLAIN", f"\0{own.user}\0{own.password.get_secret_value()}"
        said = base64.b64encode(secret.encode()).decode()
        conceal(said)  # a server may repeat it in its answer
        return mechanism, said

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(2):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):  # it is closed, whatever the other side says
            self._writer.transport.abort()

    async def _within(self, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        limit = self._settings.timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                return await work
        except TimeoutError as error:
            raise TimeLimitExceeded(f"{self._place} did not answer within {limit:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise InvalidInput(
                f"{self._place}: its certificate is not to be trusted: {error.verify_message}"
            ) from error
        except (OSError, EOFError) as error:
            raise TransientError(f"{self._place}: {type(error).__name__}: {error}") from error

    async def _log_in(self, mechanism: str, said: str) -> None:
        if self._settings.security == "tls":
            values = syntax.parse(await self._response(Answer(_MAX_OCTETS)))
            if [str(one).upper() for one in values[:2]] not in (["*", "OK"], ["*", "PREAUTH"]):
                raise TransientError(f"{self._place} greets with {str(values)[:100]}, expected OK")
        self.capabilities = await self._capabilities()
        if f"AUTH={mechanism}" not in self.capabilities:
            raise InvalidInput(f"{self._place} does not take {mechanism}, expected a server that does")
        await self._authenticate(mechanism, said)
        self.capabilities = await self._capabilities()

    async def _capabilities(self) -> frozenset[str]:
        found = (await self.command("CAPABILITY")).of("CAPABILITY")
        return frozenset(str(one).upper() for line in found for one in line[1:])

    async def _authenticate(self, mechanism: str, said: str) -> None:
        tag = f"a{self.commands}".encode()
        self.commands += 1
        await self._send(tag + f" AUTHENTICATE {mechanism}\r\n".encode())
        # A second question is XOAUTH2's way to tell an error, to be answered with nothing.
        replies = [said, ""]
        answer = Answer(_MAX_OCTETS)
        while True:
            parts = await self._within(self._response(answer))
            if parts[0].startswith(b"+"):
                if not replies:
                    raise InvalidInput(f"{self._place} asks again and again for what it was told")
                await self._send(replies.pop(0).encode() + b"\r\n")
            elif parts[0].startswith(tag + b" "):
                break
        word, _, text = parts[0].partition(b" ")[2].decode("ascii", "replace").partition(" ")
        if word.upper() != "OK":
            told = f"{self._place} refuses the login: {redact(text)[:200]}"
            raise TransientError(told) if _code(text) in _PASSES else AuthenticationError(told)

    async def command(self, *words: str | bytes, octets: int = 0) -> Answer:
        """Send a command and return its answer; bytes are strings of any letters, sent quoted or as literals.

        `octets` are those of the messages that it asks for. Raises `Refused` or `RefusedForNow` where the
        answer is NO, BAD, no IMAP or too large, `TransientError` where the server goes away and
        `TimeLimitExceeded` where it does not end.
        """
        tag = f"a{self.commands}".encode()
        self.commands += 1
        timeout, more = self._settings.timeout, octets / _SLOWEST
        answer = Answer(_MAX_OCTETS + octets)
        return await self._within(self._answer(tag, words, answer, timeout + more), _COMMAND * timeout + more)

    async def _answer(
        self, tag: bytes, words: Sequence[str | bytes], answer: Answer, seconds: float
    ) -> Answer:
        await self._say(tag, words)
        while True:
            parts = await self._within(self._response(answer), seconds)
            if parts[0].startswith(b"* "):
                await self._take(answer, parts)
            elif parts[0].startswith(tag + b" "):
                return self._ended(answer, parts[0], words)

    async def _take(self, answer: Answer, parts: Sequence[bytes]) -> None:
        kind = parts[0][2:6].upper()
        if kind.startswith(b"BYE"):
            raise TransientError(f"{self._place} goes away: {parts[0][6:200]!r}")
        if answer.fault is not None:
            return
        if len(answer.untagged) >= _MAX_ANSWERS:
            answer.fault = f"found more than {_MAX_ANSWERS:,} answers to one command"
        elif kind.startswith((b"OK ", b"NO ", b"BAD ")):  # what follows a code is plain text
            text = parts[0][2:].decode("ascii", "replace")
            answer.untagged.append([text.split(" ")[0], f"[{text.partition('[')[2].partition(']')[0]}]"])
        else:
            told = [parts[0][2:], *parts[1:]]
            try:
                large = len(parts[0]) > _LARGE_LINE
                values = await asyncio.to_thread(syntax.parse, told) if large else syntax.parse(told)
                answer.untagged.append(values)
            except InvalidInput as error:
                answer.fault = str(error)

    def _ended(self, answer: Answer, line: bytes, words: Sequence[str | bytes]) -> Answer:
        word, _, text = line.partition(b" ")[2].decode("ascii", "replace").partition(" ")
        asked = " ".join(one for one in words[:2] if isinstance(one, str))
        if word.upper() != "OK":
            told = f"{self._place}: {asked} was answered {word[:20]}: {redact(text)[:200]}"
            raise RefusedForNow(told) if _code(text) in _PASSES else Refused(told)
        if answer.fault is not None:
            raise Refused(f"{self._place}: {asked}: {answer.fault}")
        return answer

    async def _say(self, tag: bytes, words: Sequence[str | bytes]) -> None:
        line = tag
        for word in words:
            line += b" "
            if isinstance(word, str):
                line += word.encode("ascii")
            elif syntax.can_be_quoted(word):
                line += syntax.quoted(word)
            else:
                await self._send(line + b"{%d}\r\n" % len(word))
                await self._invited(tag)
                line = word
        await self._send(line + b"\r\n")

    async def _invited(self, tag: bytes) -> None:
        """Wait until the server says that it takes a literal."""
        answer = Answer(_MAX_OCTETS)
        while not (parts := await self._within(self._response(answer)))[0].startswith(b"+"):
            if parts[0].startswith(tag + b" "):
                raise Refused(f"{self._place} does not take a literal: {redact(str(parts[0]))[:200]}")

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _response(self, answer: Answer) -> list[bytes]:
        """Return a response: lines without their ends, and between them the literals that they announce.

        Where the answer has no room for it, it is read and thrown away, and the answer has a fault.
        """
        parts: list[bytes] = []
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
                parts.append(self._kept(answer, line[:-2]))
                length = syntax.literal_length(line[:-2])
                if length is None:
                    return parts
                parts.append(await self._literal(answer, length))
            except asyncio.IncompleteReadError as error:
                raise EOFError("the connection was closed") from error
            except asyncio.LimitOverrunError as error:
                raise InvalidInput(
                    f"{self._place}: found a line of more than {_MAX_LINE:,} octets"
                ) from error

    async def _literal(self, answer: Answer, length: int) -> bytes:
        if length <= answer.room:
            return self._kept(answer, await self._reader.readexactly(length))
        while length > 0:
            part = await self._reader.readexactly(min(length, 65_536))
            length -= len(part)
            self._kept(answer, part)
        return b""

    def _kept(self, answer: Answer, part: bytes) -> bytes:
        """Return a part of an answer; of what is beyond its room only as much as tells what it is."""
        answer.room -= len(part)
        if answer.room >= 0:
            return part
        answer.fault = answer.fault or "its answer is longer than what was asked for can be"
        if answer.room < -_MAX_DRAINED:
            raise InvalidInput(
                f"{self._place}: an answer does not end, after {_MAX_DRAINED:,} octets too many"
            )
        return part[:200]


def _code(text: str) -> str:
    """Return the response code of a tagged answer, such as AUTHENTICATIONFAILED."""
    return text[1:].partition("]")[0].split(" ")[0].upper() if text.startswith("[") else ""
