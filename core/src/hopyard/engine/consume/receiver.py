"""Messages that are no job of this worker's: of Celery's own tasks, or of nobody's."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard import portal
from hopyard.celeryapp import LedgerTask
from hopyard.engine.consume.delivery import Delivery, Refused, from_kombu, message_of, nothing
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import set_aside
from hopyard.ledger.set_aside import SetAside

if TYPE_CHECKING:
    from hopyard.engine.celery_node.main_thread import MainThread
    from hopyard.ledger.database import Database

log = logging.getLogger("hopyard.engine")

_PAUSE: Final = 1.0


class Receiver:
    """Reads what Celery's consumer delivers, hands Celery's tasks to its pool, keeps what nobody can read."""

    def __init__(
        self,
        app: Any,
        database: Database,
        main: MainThread,
        *,
        ending: Callable[[], bool],
        spawn: Callable[[Coroutine[Any, Any, Any]], object],
    ) -> None:
        self._app = app
        self._spawn = spawn
        self._database = database
        self._main = main
        self._ending = ending
        self._consumer: Any = None

    def connected(self, consumer: Any) -> None:
        """Take the consumer that now delivers messages."""
        self._consumer = consumer

    def read(self, message: Any) -> Delivery | Refused:
        """Return a message of kombu's as a job's, or as refused."""
        errors = self._consumer.connection_errors
        return from_kombu(message, lambda: message.ack_log_error(log, errors))

    def celery_runs(self, task: str) -> bool:
        """Say whether a task is Celery's own, or only the app's: its pool runs it, outside of the ledger.

        A withdrawn plugin's tasks are none of these: the app knew them before.
        """
        return task in self._app.tasks and not isinstance(self._app.tasks[task], LedgerTask)

    def divert(self, delivery: Delivery) -> bool:
        """Hand a message that was taken in a batch to Celery's pool if that runs its task; say whether so.

        It is as good as acknowledged early.
        """
        strategies = self._consumer.strategies if self._consumer is not None else {}
        if not self.celery_runs(delivery.task) or delivery.task not in strategies:
            return False
        strategy, loop = strategies[delivery.task], asyncio.get_running_loop()

        def hand_over() -> None:
            def rejected(*_: Any, **__: Any) -> None:
                refused = refused_of(delivery, "Celery rejected it")
                portal.call_soon(loop, self.keep, refused)

            try:
                message = message_of(json.loads(delivery.raw), delivery.queue)
                strategy(message, None, nothing, rejected, [])
            except Exception as error:
                log.exception("Celery cannot take a message of %s", delivery.task)
                refused = refused_of(delivery, f"Celery cannot take it: {type(error).__name__}: {error}")
                portal.call_soon(loop, self.keep, refused)

        if (fault := self.misfit(delivery)) is not None:
            self.keep(refused_of(delivery, fault))
        else:
            self._main.soon(hand_over)
        return True

    def misfit(self, delivery: Delivery) -> str | None:
        """Say why Celery's pool cannot run one of its tasks from a message; None if it can."""
        if delivery.foreign is None:
            return f"it is marked as Hopyard's, but its task {delivery.task} is Celery's own"
        args, kwargs, _ = json.loads(delivery.foreign.body)
        fits = getattr(self._app.tasks[delivery.task], "__header__", None)
        try:
            if fits is not None:
                fits(*args, **kwargs)
        except TypeError as error:
            return f"its arguments are not those of {delivery.task}: {error}"
        return None

    def refused_by_celery(self, message: Any) -> Refused | None:
        """Return a message of kombu's, of one of Celery's own tasks, as refused if its pool cannot run it."""
        found = self.read(message)
        if isinstance(found, Refused):
            return found
        fault = self.misfit(found)
        raw = found.foreign.body.encode() if found.foreign else b""
        return None if fault is None else refused_of(found._replace(raw=raw), fault)

    def keep(self, refused: Refused) -> None:
        """Have a message set aside."""
        self._spawn(self.set_aside([refused]))

    async def set_aside(self, refused: Sequence[Refused]) -> bool:
        """Keep messages that are no job's in the ledger, then acknowledge them.

        However long the ledger is away; False if the worker ends meanwhile.
        """
        for one in refused:
            log.error("a message in %s is no job's and is set aside: %s", one.queue, one.reason)
        things = [
            SetAside(
                "message",
                hashlib.sha256(one.raw).hexdigest()[:32],
                f"in queue {one.queue}: {one.reason}",
                one.raw.decode(errors="backslashreplace"),
            )
            for one in refused
        ]
        while True:
            try:
                await set_aside.keep(self._database, things)
            except LedgerUnavailable as error:
                if self._ending():
                    return False
                log.warning("%d messages wait to be set aside: %s", len(refused), error)
                await asyncio.sleep(_PAUSE)
            else:
                break
        self._main.soon(lambda: [one.acknowledge() for one in refused])
        return True


def refused_of(delivery: Delivery, reason: str) -> Refused:
    """Return a message that was read well as one that is refused after all."""
    return Refused(delivery.queue, reason[:1000], delivery.raw, delivery.acknowledge)
