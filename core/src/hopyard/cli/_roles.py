"""How the long-running roles begin: the log, and a ledger that may not be there yet."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from hopyard.cli._errors import cut, message
from hopyard.errors import ConfigError, HopyardError, LedgerUnavailable

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.settings import Settings

_log = logging.getLogger("hopyard.cli")
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0

Run = Callable[[Coroutine[Any, Any, None]], None]


def begin(settings: Settings) -> None:
    """Log as the settings say, with what is printed."""
    from hopyard.monitor import logs

    log = settings.log
    logs.configure(log.level, log.format, prints=True, descriptors=True)


@contextmanager
def ending_for_good() -> Iterator[None]:
    """Log what goes wrong in the block, and end so that nobody starts this process again before it is mended.

    Faults of the settings that keep the log itself from being set up are raised.
    """
    from hopyard.supervise import GIVEN_UP

    try:
        yield
    except HopyardError as error:
        if isinstance(error, ConfigError) and not logging.getLogger().handlers:
            raise
        _log.critical("%s", cut(message(error).removeprefix("Error: ")))
        raise SystemExit(GIVEN_UP) from None


def await_ledger(hopyard: Hopyard, run: Run = asyncio.run) -> None:
    """Return once the ledger answers and the core has its tables. Raises where only a person helps.

    A plugin without its tables is withdrawn later, by the worker itself, which still serves its queues:
    their jobs are parked with the reason, and go on when the plugin comes back.
    """
    patiently(lambda: run(hopyard.check_core()))


def patiently(ask: Callable[[], Any]) -> None:
    """Ask the ledger for something; a server that is away is asked again.

    The pauses between tries double up to half a minute, and each has its line in the log.
    """
    before = signal.signal(signal.SIGTERM, _end)
    pause = _FIRST_PAUSE
    try:
        while True:
            try:
                ask()
                return
            except LedgerUnavailable as error:
                _log.warning("%s; next try in %g s", error, pause)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)
