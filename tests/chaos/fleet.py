"""Processes of one role that are started again when they end, as a supervisor would."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from chaos.place import Place


@dataclass
class Hit:
    """A fault that hit a process, from when to when; `pid` None: every process."""

    pid: int | None
    fault: str
    begin: float
    end: float = math.inf


class Fleet:
    """So many processes of `hopyard ROLE`."""

    def __init__(self, place: Place, role: str, *arguments: str) -> None:
        self._place, self._role, self._arguments = place, role, arguments
        self.processes: list[subprocess.Popen[bytes]] = []
        self.names: dict[int, str] = {}
        """Of all that ever were, by process."""
        self.ended: dict[int, int] = {}
        """Exit statuses of those that are no more."""
        self.wired = False
        """Those that are hired from now on reach their servers over wires of their own."""
        self._keeper: asyncio.Task[None] | None = None

    def man(self, count: int) -> None:
        """Start so many, and from now on another one for each that ends."""
        self.processes = [self._hire() for _ in range(count)]
        self._keeper = asyncio.create_task(self._keep())

    def _hire(self) -> subprocess.Popen[bytes]:
        name = f"{self._role[0]}{len(self._place.processes)}"
        named = [*self._arguments, *(["-n", name] if self._role == "worker" else [])]
        more: Mapping[str, str] = {}
        wires = None
        if self.wired:
            wires, more = self._place.exchange.wires()
        process = self._place.start("hopyard", self._role, *named, log=name, more=more)
        if wires:
            self._place.wires[process.pid] = wires
        self.names[process.pid] = name
        return process

    async def _keep(self) -> None:
        while True:
            for n, process in enumerate(self.processes):
                if process.poll() is not None:
                    self.ended[process.pid] = process.returncode
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)  # its children, as the supervisor does
                    self.processes[n] = self._hire()
            await asyncio.sleep(0.1)

    def pids(self) -> set[int]:
        """Return the processes of now."""
        return {process.pid for process in self.processes}

    async def ready(self, count: int = 1) -> list[subprocess.Popen[bytes]]:
        """Wait until so many live, have run something, and suffer from nothing; return them."""

        async def enough() -> Any:
            latest = self._place.reports.look().latest
            suffering = {hit.pid for hit in self._place.hits if hit.end > time.time()}
            able = [p for p in self.processes if p.pid in latest and p.poll() is None]
            able = [p for p in able if p.pid not in suffering]
            return able if len(able) >= count else None

        found: list[subprocess.Popen[bytes]] = await self._place.until(
            enough, f"{count} {self._role}s run jobs"
        )
        return found

    async def consuming(self, since: float, within: float) -> float:
        """Wait until each of now has started a job after `since`; return the seconds that took.

        There is work for all meanwhile: one that is ready and finds nothing would look like one that is not.
        A process that is started meanwhile is not waited for. Where `within` passes it returns that.
        """
        those, more = self.pids(), 0.0

        def late() -> bool:
            latest = self._place.reports.look().latest
            return any(latest.get(pid, 0.0) <= since for pid in those & self.pids())

        while late() and time.time() < since + within:
            if time.monotonic() > more:
                await self._place.occupy(len(those))
                more = time.monotonic() + 2
            await asyncio.sleep(0.05)
        return time.time() - since

    def end(self) -> list[subprocess.Popen[bytes]]:
        """Ask all to end, and start no more; return them."""
        if self._keeper is not None:
            self._keeper.cancel()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                process.terminate()
        return self.processes


def stopped(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a process is stopped (SIGSTOP)."""
    try:
        return process.poll() is None and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False
