"""The end of a process, whatever threads plugins have left running in it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from typing import Final

#: Threads have so long to end by themselves, in seconds.
PATIENCE: Final = 3.0

_log = logging.getLogger("hopyard.ending")


def end_soon(code: object) -> None:
    """End the process with the status that `SystemExit(code)` means, also if a thread never ends.

    To be called last: Python waits for threads that are no daemons, here for `PATIENCE` at most. Then a line
    names those that are left, what was written is flushed, and the process ends without them.
    """
    status = code if isinstance(code, int) else int(code is not None)
    threading.Thread(target=_end, args=(status,), name="hopyard-ending", daemon=True).start()


def _end(status: int) -> None:
    while True:  # without such threads Python ends by itself
        time.sleep(PATIENCE)
        left = [one.name for one in threading.enumerate() if _holds(one)]
        if left:
            break
    told = f"ending without the threads that do not end: {', '.join(left)}"
    with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads
        if logging.getLogger().handlers:
            _log.warning("%s", told)
        else:
            sys.stderr.write(f"{told}\n")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _holds(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread() and thread.is_alive()
