"""One connection to an account's server: opened, secured, logged in; one letter at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from hopyard import Hopyard
from hopyard.errors import AuthenticationError, InvalidInput, TransientError

from hopyard_email.oauth import access_token
from hopyard_email.outbox.outcomes import Outcome
from hopyard_email.smtp.replies import is_about_the_connection, outcome_of
from hopyard_email.texts import one_line
from hopyard_email.tls import context_for

if TYPE_CHECKING:
    import aiosmtplib

    from hopyard_email.settings import Account

#: Seconds that a server may take for its answer to the content. RFC 5321 §4.5.3.2.6 speaks of ten
#: minutes, but the sender's job must end before its time limit, so that what became of a mail is written.
DATA_TIMEOUT: Final = 100.0
#: Letters over one connection; some servers take no more.
MOST_LETTERS: Final = 100


class Connection:
    """A connection to an account's server. Made by `opened`."""

    def __init__(self, client: aiosmtplib.SMTP, account: Account) -> None:
        self._client = client
        self._account = account
        self._begun = False
        self.letters = 0

    @property
    def usable(self) -> bool:
        """Whether another letter can go over it."""
        return self._client.is_connected and self.letters < MOST_LETTERS

    async def send(
        self, sender: str, recipient: str, raw: bytes, begin: Callable[[], Awaitable[float | None]]
    ) -> Outcome | None:
        """Hand a letter to the server; return what became of it, None where `begin` did not allow it.

        `begin` is awaited once the server has taken both addresses, right before the content: it returns the
        moment (`boot_time`) until which the content may be handed over. What fails before that leaves the
        letter unsent for certain; where the connection fails after it, the outcome is `unknown`.

        Raises `TransientError` and `AuthenticationError` where the connection is of no more use, and the
        letter was not looked at.
        """
        import aiosmtplib

        self.letters += 1
        try:
            if self._begun:  # the letter before was not taken: the server forgets its addresses
                await self._client.rset()
            self._begun = True
            outcome = await self._envelope(sender, recipient, raw)
            if outcome is not None:
                return outcome
            until = await begin()
            if until is None:
                return None
            code, text = await self._client.execute_command(b"DATA", timeout=self._account.timeout)
            if code != 354:
                return self._judged(code, text)
            if boot_time() > until:
                # This process stood still meanwhile. Others may have given it up, so nothing is handed over.
                self._client.close()
                return Outcome("returned", "the sender stood still before it handed the mail over")
        except (aiosmtplib.SMTPException, OSError) as error:
            self._client.close()
            raise TransientError(
                f"{self._account.host}: {type(error).__name__}: {one_line(error, 300)}"
            ) from error
        return await self._content(raw)

    async def _envelope(self, sender: str, recipient: str, raw: bytes) -> Outcome | None:
        """Name both addresses; return why they were not taken, None if they were."""
        head = raw.partition(b"\r\n\r\n")[0]
        options = [f"SIZE={len(raw)}"] if self._client.supports_extension("size") else []
        utf8 = not (recipient.isascii() and sender.isascii() and head.isascii())
        if utf8 and not self._client.supports_extension("smtputf8"):
            return Outcome(
                "failed", "the server takes no addresses beyond ASCII (it does not offer SMTPUTF8)", "5.6.7"
            )
        options += ["SMTPUTF8", "BODY=8BITMIME"] if utf8 else []
        for command, address, more in (("MAIL FROM", sender, options), ("RCPT TO", recipient, [])):
            line = " ".join([f"{command}:<{address}>", *more])
            code, text = await self._client.execute_command(line.encode(), timeout=self._account.timeout)
            if not 200 <= code < 300:
                outcome = self._judged(code, text)
                return dataclasses.replace(outcome, of_recipient=command == "RCPT TO")
        return None

    async def _content(self, raw: bytes) -> Outcome:
        """Hand over the content. From here on only the server's answer says whether the letter is sent."""
        import aiosmtplib

        protocol = self._client.protocol
        stuffed = re.sub(rb"(?m)^\.", b"..", raw)
        end = b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"
        try:
            if protocol is None:
                raise aiosmtplib.SMTPServerDisconnected("the connection is gone")
            protocol.write(stuffed + end)
            answer = await protocol.read_response(timeout=DATA_TIMEOUT)
        except (aiosmtplib.SMTPException, OSError) as error:
            self._client.close()
            return Outcome("unknown", f"no answer to the content: {type(error).__name__}: {error}")
        self._begun = False
        outcome = outcome_of(answer.code, answer.message)
        if answer.code == 421:
            self._client.close()
        return outcome

    def _judged(self, code: int, text: str) -> Outcome:
        """Return what a reply means. Raises where it is about the connection."""
        if is_about_the_connection(code):
            self._client.close()
            kind = TransientError if code in (421, 454) else AuthenticationError
            raise kind(f"{self._account.host} answered {code} {one_line(text, 300)}")
        return outcome_of(code, text)

    async def close(self) -> None:
        """Say goodbye."""
        import aiosmtplib

        try:
            if self._client.is_connected:
                async with asyncio.timeout(5):
                    await self._client.quit()
        except (aiosmtplib.SMTPException, OSError):  # it is gone already: nothing is lost by that
            self._client.close()


def boot_time() -> float:
    """Return seconds since the machine started, also those in which this process or the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def opened(account: Account) -> Connection:
    """Return a connection that is secured and logged in.

    Raises `TransientError` where the server is not reached, `AuthenticationError` where it refuses the login
    or its certificate is none that is trusted, `EgressRefused` where it may not be reached.
    """
    import aiosmtplib

    host, port = account.place
    context = context_for(account)
    sock = await Hopyard.current().egress.connect(host, port, timeout=account.timeout)
    sock.setblocking(False)
    client = aiosmtplib.SMTP(
        hostname=host,
        sock=sock,
        timeout=account.timeout,
        use_tls=account.security == "tls",
        start_tls=False,
        tls_context=None if account.security == "none" else context,
        local_hostname=_local_name(),
    )
    try:
        await client.connect()
        if account.security == "starttls":
            await client.starttls(tls_context=context, server_hostname=host)
        await client.ehlo()
        await _log_in(client, account)
    except BaseException as error:
        client.close()  # the socket is asyncio's by now, which closes it
        if isinstance(error, aiosmtplib.SMTPException | OSError | ValueError):
            raise _refused(error, account) from error
        raise
    return Connection(client, account)


async def _log_in(client: aiosmtplib.SMTP, account: Account) -> None:
    import aiosmtplib

    if account.password is not None:
        await client.login(account.user or "", account.password.get_secret_value())
    elif account.oauth is not None:
        user = account.user or ""
        try:
            await client.auth_xoauth2(user, await access_token(account.oauth))
        except aiosmtplib.SMTPAuthenticationError:
            if account.oauth.token is not None:
                raise
            # It may have been taken back before its time.
            await client.auth_xoauth2(user, await access_token(account.oauth, renew=True))


def _refused(error: Exception, account: Account) -> Exception:
    """Return what an error at the opening means; none of a library's texts holds the password."""
    import ssl

    import aiosmtplib

    host, port = account.place
    place, cause = f"{host}:{port}", error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return AuthenticationError(f"{place}: its certificate is not trusted: {cause.verify_message}")
        cause = cause.__cause__  # type: ignore[assignment]
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        kind = AuthenticationError if error.code >= 500 else TransientError
        return kind(f"{place} refused the login: {error.code} {one_line(error.message, 300)}")
    if isinstance(error, aiosmtplib.SMTPNotSupported | ValueError):
        return InvalidInput(f"{place}: {one_line(error, 300)}")
    return TransientError(f"{place}: {type(error).__name__}: {one_line(error, 300)}")


def _local_name() -> str:
    """The name that this side gives itself: a lookup of its own name could take long."""
    import socket

    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name) else "localhost"
