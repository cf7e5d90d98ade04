"""Where runs of tasks report to: a process of its own that writes each line to disk before it answers.

`python -m chaos.sink SOCKET FILE` serves; tasks call `tell` and `told`.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import Any

_SOCKET = "HOPYARD_INTERNAL_SINK"


async def tell(**line: Any) -> None:
    """Report; durable when it returns."""
    reader, writer = await asyncio.open_unix_connection(os.environ[_SOCKET])
    try:
        writer.write(json.dumps(line).encode() + b"\n")
        answer = await reader.readline()
    finally:
        writer.close()
    if answer != b"ok\n":
        raise RuntimeError(f"the sink said {answer!r}")


def tell_now(**line: Any) -> bool:
    """As `tell`, from plain code; returns the answer of a question (`ask`)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[_SOCKET])
        connection.sendall(json.dumps(line).encode() + b"\n")
        answer = connection.recv(64)
    if answer not in (b"ok\n", b"yes\n", b"no\n"):
        raise RuntimeError(f"the sink said {answer!r}")
    return answer == b"yes\n"


class Sink:
    """All connections in one thread; lines that arrive together share an fsync."""

    def __init__(self, path: str, file: str) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen(256)
        self._server.setblocking(False)
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._buffers: dict[socket.socket, bytes] = {}
        self._effects: set[tuple[str, str]] = set()

    def serve(self) -> None:
        """Serve for ever."""
        while True:
            lines: list[tuple[socket.socket, dict[str, Any]]] = []
            for key, _ in self._selector.select():
                if key.fileobj is self._server:
                    connection, _ = self._server.accept()
                    self._buffers[connection] = b""
                    self._selector.register(connection, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    lines += self._read(key.fileobj)
            self._store(lines)

    def _read(self, connection: socket.socket) -> list[tuple[socket.socket, dict[str, Any]]]:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._drop(connection)
            return []
        *lines, self._buffers[connection] = (self._buffers[connection] + data).split(b"\n")
        return [(connection, json.loads(line)) for line in lines]

    def _store(self, lines: list[tuple[socket.socket, dict[str, Any]]]) -> None:
        reports = [line for _, line in lines if "ask" not in line]
        if reports:
            now = time.time()
            os.write(self._file, b"".join(json.dumps({"at": now, **one}).encode() + b"\n" for one in reports))
            os.fsync(self._file)
            self._effects |= {(one["job"], one["name"]) for one in reports if one["what"] == "effect"}
        for connection, line in lines:
            answer = b"ok\n"
            if "ask" in line:
                answer = b"yes\n" if (line["job"], line["ask"]) in self._effects else b"no\n"
            try:
                connection.sendall(answer)
            except OSError:  # who asked is dead
                self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        if self._buffers.pop(connection, None) is not None:
            self._selector.unregister(connection)
            connection.close()


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Return all whole lines of a sink's or a journal's file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]]


class Reports:
    """What a sink's file says, read as it grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self.lines: list[dict[str, Any]] = []
        self.starts: dict[str, list[dict[str, Any]]] = {}
        """By job, in order."""
        self.jobs: dict[int, set[str]] = {}
        """By process, what it started."""
        self.latest: dict[int, float] = {}
        """By process, when it last started something."""

    def look(self) -> Reports:
        """Read what is new."""
        if not self._file.exists():
            return self
        with self._file.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for text in whole.splitlines():
            line = json.loads(text)
            self.lines.append(line)
            if line["what"] == "start":
                self.starts.setdefault(line["job"], []).append(line)
                self.jobs.setdefault(line["pid"], set()).add(line["job"])
                self.latest[line["pid"]] = line["at"]
        return self


if __name__ == "__main__":
    Sink(sys.argv[1], sys.argv[2]).serve()
