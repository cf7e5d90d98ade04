"""A pipe that Python children watch: its end says that the supervisor is gone."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from hopyard.errors import HopyardError
from hopyard.supervise.death import dies_with_parent

PARENT_PIPE = "HOPYARD_INTERNAL_PARENT"
"""Environment variable with the number of the pipe's file descriptor."""

_log = logging.getLogger(__name__)


def watch_parent(grace: float = 10.0) -> threading.Thread | None:
    """Stop this process when its supervisor ends. To be called early in the main thread of a child.

    At the end of the pipe the process is sent SIGTERM, unless the kernel did that already, and is killed
    with its whole process group if it is still there `grace` seconds later. Returns the watching thread,
    or None in a process that no supervisor started. Raises HopyardError for a value that is no pipe.
    """
    value = os.environ.pop(PARENT_PIPE, None)
    if value is None:
        return None
    try:
        pipe = int(value)
        os.set_inheritable(pipe, False)
    except (ValueError, OSError) as error:
        raise HopyardError(f"{PARENT_PIPE}: found {value!r}, expected the number of an open pipe") from error
    # Asked here and not in the thread: the kernel keeps it for each thread.
    told = dies_with_parent()
    thread = threading.Thread(target=_watch, args=(pipe, grace, told), name="hopyard-parent", daemon=True)
    thread.start()
    return thread


def _watch(pipe: int, grace: float, told: bool) -> None:
    while os.read(pipe, 1):
        pass
    _log.warning("the supervisor is gone: stopping")
    if not told:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
