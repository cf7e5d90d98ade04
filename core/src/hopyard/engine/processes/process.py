"""One child process as its parent sees it: its line, its last words, its memory at last sight, its death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

from hopyard import portal
from hopyard.errors import ResourceError
from hopyard.ledger import crashes

#: A line carries a job's arguments, result or checkpoint, each up to a megabyte.
_LINE_BYTES: Final = 8_000_000
_LOOK_SECONDS: Final = 1.0
#: What is left in the pipe of a dead child is read within so long: what it started may hold the other end.
_REST_SECONDS: Final = 1.0


class ProcessDied(ResourceError):
    """The process that ran a job died. `evidence` is what `crashes.evidence` returns."""

    def __init__(self, message: str, evidence: dict[str, Any]) -> None:
        self.evidence = evidence
        super().__init__(message)


class Process:
    """A child, the line over which it takes jobs and answers, and a reader of its standard error.

    The line is a socket of its own, which what the task starts does not inherit; the child's standard input
    is empty, and what it prints goes to the worker's log, through a pipe of our own: of one that asyncio
    makes it waits for the end before it tells of the child's death, and what the task has started may keep
    that open for ever.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        printed: asyncio.StreamReader,
        pipe: asyncio.ReadTransport,
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self._printed = printed
        self._pipe = pipe
        self._words = b""
        self.memory: int | None = None
        """Resident bytes at last sight, or as the child said itself."""
        self._listening = portal.spawn(self._listen())
        self._exit = portal.spawn(process.wait())

    @classmethod
    async def start(cls, environment: Mapping[str, str]) -> Process:
        """Start a child with these variables."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing of the working directory is imported
                "-m",
                "hopyard.engine.processes.main",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            os.close(read)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(write)
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
        printed = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(printed),
            open(read, "rb", 0),  # noqa: ASYNC230, SIM115 - a pipe, closed with its transport
        )
        return cls(process, reader, writer, printed, pipe)

    async def line(self) -> bytes:
        """Return the next line that the child wrote; nothing once it is dead, whoever holds its line."""
        reading = asyncio.ensure_future(self.reader.readline())
        try:
            await asyncio.wait([reading, self._exit], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():  # what it wrote before it died is there already, or never comes
                await asyncio.wait([reading], timeout=_REST_SECONDS)
            return reading.result() if reading.done() else b""
        except (ConnectionError, ValueError):  # cut, or a line without end
            return b""
        finally:
            reading.cancel()

    async def _listen(self) -> None:
        while chunk := await self._printed.read(65536):
            self._words = (self._words + chunk)[-crashes.READ_BYTES :]
            with contextlib.suppress(OSError):  # the worker's own log is gone: nobody to tell
                while chunk:
                    chunk = chunk[os.write(2, chunk) :]

    @contextlib.asynccontextmanager
    async def busy(self) -> Any:
        """Watch the child's memory while it runs a job; its words are that job's from now on."""
        self._words, self.memory = b"", None
        watching = portal.spawn(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.memory = resident(self.process.pid) or self.memory

    async def death(self) -> dict[str, Any]:
        """Wait until the child is dead; return the evidence."""
        code = await self.process.wait()
        await asyncio.wait([self._listening], timeout=_REST_SECONDS)
        return crashes.evidence(code, self.memory, self._words)

    async def kill(self) -> None:
        """Kill the child and wait until it is gone."""
        if self.process.returncode is None:
            self.process.kill()
        self.writer.close()
        await self.process.wait()
        await asyncio.wait([self._listening], timeout=_REST_SECONDS)
        self._listening.cancel()
        self._pipe.close()


def resident(pid: int) -> int | None:
    """Return a process' resident memory in bytes; None where the kernel does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") or None
    except (OSError, IndexError):
        return None
