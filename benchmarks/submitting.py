"""Submitting over HTTP: `hopyard web serve` beside Flower, and beside a plain endpoint that calls `delay`.

Each server is one process; the load comes from this one, over connections that stay open. First one request
after the other, then many connections at once. Hopyard's answer says that the job is stored; the others' that
its message was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks import environments
from benchmarks.session import Servers, running_servers

NAME = "http"
_ALONE = 400
_TOGETHER, _SECONDS = 32, 6.0
_STARTING = 60.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)

HOPFILE = '''
from hopyard import Job, Plugin, hookimpl, task


@task("site.nothing")
async def nothing(job: Job, x: int) -> int:
    """Do nothing."""
    return x


class Site(Plugin):
    @hookimpl
    def register_tasks(self):
        return [nothing]
'''
PLAIN = """
import os

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

celery = Celery("bench", broker=os.environ["BENCH_BROKER"])
app = FastAPI()


@celery.task(name="bench.nothing")
def nothing(x):
    return x


class Arguments(BaseModel):
    x: int


@app.post("/submit")
def submit(arguments: Arguments):
    return {"id": nothing.delay(arguments.x).id}
"""


def report() -> str:
    """Measure all contenders; return a table."""
    lines = ["", "### Submitting over HTTP", ""]
    lines.append("| | alone, p50 | alone, p99 | 32 at once | p99 | CPU-seconds per 1000 |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    with running_servers() as shared:
        for name, started in (
            ("hopyard, PostgreSQL", _hopyard(shared, "postgres")),
            ("hopyard, SQLite", _hopyard(shared, "sqlite")),
            ("FastAPI and delay", _plain(shared)),
            ("Flower", _flower(shared)),
        ):
            print(f"http: {name}", file=sys.stderr, flush=True)
            with started as (process, port, request):
                lines.append(f"| {name} | " + " | ".join(_measured(process, port, request)) + " |")
    return "\n".join(lines)


def _measured(process: psutil.Process, port: int, request: bytes) -> list[str]:
    asyncio.run(_load(port, request, 1, count=100))  # until everything is warm
    alone = asyncio.run(_load(port, request, 1, count=_ALONE))
    before = process.cpu_times()
    begun = time.perf_counter()
    together = asyncio.run(_load(port, request, _TOGETHER, seconds=_SECONDS))
    took = time.perf_counter() - begun
    after = process.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) / len(together) * 1000
    return [
        _ms(alone, 50),
        _ms(alone, 99),
        f"{len(together) / took:.0f}/s",
        _ms(together, 99),
        f"{cpu:.2f}",
    ]


def _ms(times: list[float], percent: int) -> str:
    return f"{statistics.quantiles(times, n=100)[percent - 1] * 1000:.1f} ms"


async def _load(
    port: int, request: bytes, connections: int, *, count: int | None = None, seconds: float = 0.0
) -> list[float]:
    """Send a request again and again; return how long each took."""
    until, times = time.perf_counter() + (seconds or 1e9), list[float]()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until and (count is None or len(times) < count):
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if head[9:10] != b"2":
                raise RuntimeError(f"refused: {head[:200]!r}")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return times


Started = contextlib.AbstractContextManager[tuple[psutil.Process, int, bytes]]


@contextlib.contextmanager
def _hopyard(shared: Servers, ledger: str) -> Iterator[tuple[psutil.Process, int, bytes]]:
    with _folder() as folder, shared.database() as address:
        port = _port()
        (folder / "hopfile.py").write_text(HOPFILE)
        database = "" if ledger == "sqlite" else f'database_url = "{address}"\n'
        (folder / "hopyard.toml").write_text(
            f'broker_url = "{shared.redis}"\n{database}[plugins]\nallow = ["site"]\n[web]\nport = {port}\n'
        )
        run = [sys.executable, "-m", "hopyard.cli"]
        subprocess.run([*run, "db", "upgrade"], cwd=folder, check=True, capture_output=True)
        made = [*run, "web", "token", "create", "bench", "--role", "submitter"]
        token = subprocess.run(made, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
        with _serving([*run, "web", "serve"], folder, port, "/livez") as process:
            headers = {"Authorization": f"Bearer {token}"}
            yield process, port, _request("/api/background/site/nothing", {"x": 1}, headers)


@contextlib.contextmanager
def _plain(shared: Servers) -> Iterator[tuple[psutil.Process, int, bytes]]:
    with _folder() as folder:
        port = _port()
        (folder / "plain.py").write_text(PLAIN)
        command = [sys.executable, "-m", "uvicorn", "plain:app", "--port", str(port), "--no-access-log"]
        with _serving(command, folder, port, "/docs", BENCH_BROKER=shared.redis) as process:
            yield process, port, _request("/submit", {"x": 1}, {})


@contextlib.contextmanager
def _flower(shared: Servers) -> Iterator[tuple[psutil.Process, int, bytes]]:
    python = environments.python("flower")
    with _folder() as folder:
        port = _port()
        command = [str(python), "-m", "celery", f"--broker={shared.redis}", "flower", f"--port={port}"]
        with _serving(command, folder, port, "/healthcheck", FLOWER_UNAUTHENTICATED_API="true") as process:
            yield process, port, _request("/api/task/send-task/bench.nothing", {"kwargs": {"x": 1}}, {})


def _request(path: str, body: Any, headers: Mapping[str, str]) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(text)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hopyard-bench-") as name:
        yield Path(name)


@contextlib.contextmanager
def _serving(command: list[str], folder: Path, port: int, probe: str, **env: str) -> Iterator[psutil.Process]:
    log = (folder / "log").open("wb")
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log)
    try:
        _await(process, f"http://127.0.0.1:{port}{probe}", folder / "log")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _STARTING
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{url} does not answer: {log.read_text()[-2000:]}") from error
        time.sleep(0.1)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
