"""Linux' own way to end a child with its parent, also when the parent is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2


def die_with_parent(number: int = signal.SIGTERM) -> Callable[[], None] | None:
    """Return a `preexec_fn` that has the child sent `number` when its parent ends; None where unsupported.

    The kernel watches the *thread* that starts the child: start it from the main thread.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def bind() -> None:
        # The parent may have ended between fork and prctl: then nobody sends the signal any more.
        if prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(70)

    return bind


def dies_with_parent() -> bool:
    """Whether the kernel signals this process when its parent ends. To be asked in the main thread."""
    if sys.platform != "linux":
        return False
    import ctypes

    number = ctypes.c_int(0)
    failed = ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return not failed and number.value != 0
