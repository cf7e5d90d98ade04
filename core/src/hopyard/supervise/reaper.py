"""A small process that outlives a killed supervisor and ends what it left behind.

The kernel and the pipe reach the supervisor's children. What those have started, and what ignores signals,
is ended here: this script reads from its standard input which process groups there are (`+GROUP SECONDS` and
`-GROUP`, one a line). When the input ends, each group is killed once its leader is gone, and at the latest
after its SECONDS.

It is run as a plain script and imports nothing of Hopyard, so that it is small and starts quickly.
"""

from __future__ import annotations

import os
import signal
import sys
import time

PAUSE = 0.05


def main() -> None:
    """Follow the input to its end, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, float] = {}
    for line in sys.stdin:
        group, _, grace = line[1:].partition(" ")
        if line.startswith("+"):
            groups[int(group)] = float(grace)
        else:
            groups.pop(int(group), None)
    end(groups)


def end(groups: dict[int, float]) -> None:
    """Kill each group when its leader is gone or its seconds have passed."""
    started = time.monotonic()
    while groups:
        for group, grace in list(groups.items()):
            if not exists(group) or time.monotonic() - started > grace:
                kill(group)
                del groups[group]
        time.sleep(PAUSE)


def exists(process: int) -> bool:
    """Whether there is such a process, be it a zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def kill(group: int) -> None:
    """Kill what is left of a group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nothing left; macOS says PermissionError where only zombies are left


if __name__ == "__main__":
    main()
