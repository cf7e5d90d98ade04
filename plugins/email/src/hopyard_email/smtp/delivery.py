"""The letters that a sender has claimed, over its connections to one account."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from hopyard.errors import EgressRefused, InvalidInput, LedgerUnavailable, MigrationMissing, TaskError

from hopyard_email.outbox import claims, letters, outcomes, trouble
from hopyard_email.outbox.outcomes import Outcome
from hopyard_email.smtp import sandbox
from hopyard_email.smtp.connection import Connection, boot_time, opened
from hopyard_email.smtp.wire import as_sent
from hopyard_email.texts import cleaned
from hopyard_email.together import together

if TYPE_CHECKING:
    from hopyard_email.models import Processed
    from hopyard_email.outbox.claims import Claimed
    from hopyard_email.settings import Account, EmailSettings

log = logging.getLogger(__name__)

#: Contents that are kept at hand while a batch is sent: a mail to many is read once.
_KEPT: Final = 4
#: Seconds for the server's answer once the worker is to stop.
_LAST_WORD: Final = 3.0


class Delivery:
    """Sends letters of one account for one sender. Several connections work on the same letters."""

    def __init__(self, sender: str, name: str, settings: EmailSettings, report: Processed) -> None:
        self.name = name
        self._sender = sender
        self._settings = settings
        self._account: Account = settings.accounts[name]
        self._report = report
        self._idle: list[Connection] = []
        self._made: list[Connection] = []
        self._contents: dict[str, bytes | None] = {}
        self.problem: str | None = None

    async def send(self, batch: Sequence[Claimed], living: Callable[[], bool]) -> None:
        """Send letters, each once; what is not reached is given back when the sender signs off.

        Stops where the account has trouble, or the sender lives no more.
        """
        waiting = deque(batch)
        lines = min(self._account.connections, len(waiting))
        await together(*(self._line(waiting, living) for _ in range(lines)))
        if self.problem is not None:
            await self._return(waiting)

    async def _line(self, waiting: deque[Claimed], living: Callable[[], bool]) -> None:
        connection: Connection | None = None
        try:
            while waiting and living() and self.problem is None:
                letter = waiting.popleft()
                try:
                    connection = await self._deliver(letter, connection, living)
                except (TaskError, EgressRefused) as error:
                    await self._stop(letter, error)
                except (LedgerUnavailable, MigrationMissing):
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it is, the other letters go on
                    await self._set_aside(letter, connection, error)
                    connection = None
        finally:
            if connection is not None and connection.usable:
                self._idle.append(connection)

    async def _set_aside(self, letter: Claimed, connection: Connection | None, error: Exception) -> None:
        """Note a fault that nobody foresaw as this letter's own; the others go on over new connections."""
        log.exception("letter %s met a fault", letter.id)
        if connection is not None:
            await connection.close()
        await self._record(letter, Outcome("broken", f"{type(error).__name__}: {error}"))

    async def _stop(self, letter: Claimed, error: Exception) -> None:
        """Note what is wrong with the account; the letter was not judged."""
        await self._rest(str(error))
        await self._record(letter, Outcome("returned", str(error)))

    async def _rest(self, problem: str) -> None:
        """Leave the account alone for a while."""
        self.problem = cleaned(f"{self.name}: {problem}")
        log.warning("account %s", self.problem)
        await trouble.note_trouble(self.name, problem)

    async def _deliver(
        self, letter: Claimed, connection: Connection | None, living: Callable[[], bool]
    ) -> Connection | None:
        raw = await self._content(letter.content_id)
        if raw is None:
            await self._record(letter, Outcome("failed", "its content was removed before it was sent"))
            return connection
        try:
            raw = await asyncio.to_thread(as_sent, raw, letter, self._account, self._settings)
        except InvalidInput as error:
            await self._record(letter, Outcome("failed", str(error)))
            return connection
        if self._settings.sandbox is not None and self._settings.sandbox.folder is not None:
            await self._file(letter, raw)
            return connection
        connection = await self._usable(connection)
        handing = asyncio.create_task(self._hand_over(letter, connection, raw, living))
        try:
            await asyncio.shield(handing)
        except asyncio.CancelledError:
            # The worker is to stop. Without the server's answer nobody would know whether this one was sent.
            await asyncio.wait({handing}, timeout=_LAST_WORD)
            handing.cancel()
            raise
        return connection

    async def _hand_over(
        self, letter: Claimed, connection: Connection, raw: bytes, living: Callable[[], bool]
    ) -> None:
        """Send one letter, and write down what became of it."""
        recipient = sandbox.recipient(letter, self._settings)
        lease = self._settings.sender_lease

        async def begin() -> float | None:
            now = boot_time()
            allowed = living() and await claims.begin(self._sender, letter.id)
            return now + lease / 2 if allowed else None

        outcome = await connection.send(self._envelope_sender(letter), recipient, raw, begin)
        if outcome is None:
            return
        await self._record(letter, outcome)
        if outcome.kind == "unknown":
            # The next letters would end like this one.
            await self._rest(f"{self._account.host}: {outcome.reply}")

    async def _file(self, letter: Claimed, raw: bytes) -> None:
        """Write a letter into the sandbox's folder; the same file again does no harm."""
        if await claims.begin(self._sender, letter.id):
            folder = self._settings.sandbox.folder if self._settings.sandbox else None
            path = await asyncio.to_thread(sandbox.write, folder, letter.id, raw)
            await self._record(letter, Outcome("sent", f"sandbox: written to {path}"))

    def _envelope_sender(self, letter: Claimed) -> str:
        from hopyard_email.addresses import parse_address

        given = self._account.bounces_to
        return parse_address(given, "bounces_to").plain if given else letter.sender

    async def _content(self, id_: str) -> bytes | None:
        if id_ not in self._contents:
            while len(self._contents) >= _KEPT:
                self._contents.pop(next(iter(self._contents)))
            self._contents[id_] = await letters.content(id_)
        return self._contents[id_]

    async def _usable(self, connection: Connection | None) -> Connection:
        """Return the connection, or another one where it is of no more use."""
        if connection is not None:
            if connection.usable:
                return connection
            await connection.close()
        while self._idle:
            idle = self._idle.pop()
            if idle.usable:
                return idle
            await idle.close()
        made = await opened(self._account)
        self._made.append(made)
        await trouble.note_well(self.name)
        return made

    async def _record(self, letter: Claimed, outcome: Outcome) -> None:
        state = await outcomes.record(self._sender, letter, outcome, self._settings)
        if state == "lost":
            log.warning("letter %s was taken from this sender: %s", letter.id, outcome.reply)
        elif state == "queued":
            self._report.deferred += outcome.kind == "deferred"
        else:
            setattr(self._report, state, getattr(self._report, state) + 1)

    async def _return(self, waiting: Sequence[Claimed]) -> None:
        for letter in waiting:
            await self._record(letter, Outcome("returned", self.problem or ""))

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._made:
            await connection.close()
        self._idle.clear()
