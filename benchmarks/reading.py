"""What screens and lists cost with very many jobs: endpoints' times over a planted ledger, on both databases.

The application is called in this process, without a server between: what is measured is the ledger and ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.session import running_servers

NAME = "read"
_JOBS = int(os.environ.get("BENCH_READ_JOBS", "1000000"))
_TIMES = 20
_PATHS = (
    *("/api/jobs", "/api/jobs?state=dead", "/api/jobs?state=succeeded", "/api/jobs?task=site.t3"),
    *("/api/jobs?queue=q3", "/api/jobs?queue=nowhere", "/api/jobs?person=p0", "/api/jobs?error=value%2012"),
    *("/api/jobs?task=site.t3&error=nowhere", "/api/jobs?plugin=nowhere", "/api/jobs/count"),
    *("/api/jobs/count?state=dead", "/api/jobs/count?queue=nowhere", "/api/failures", "/api/queues"),
    *("/api/background/performance/overview", "/api/background/tasks/active", "/api/workers"),
    *("/api/schedules", "/api/plugins", "/api/tasks", "/api/inbox", "/api/audit", "/api/tokens"),
)
_PAGES = ("/", "/jobs", "/failures", "/queues", "/schedules", "/workers", "/plugins", "/access")
_COLUMNS = (
    "id, task, queue, priority, state, body, headers, attempt, crashes, worker, claim, cancel, created, "
    "started, finished, result, error, person, linked"
)
_MINUTES = (
    "INSERT INTO job_minute (minute, task, queue, state, shard, jobs, began, waited, ran) "
    "SELECT {minute}, task, queue, state, 0, count(*), count(*), 0.3 * count(*), 0.7 * count(*) "
    "FROM job_history GROUP BY 1, 2, 3, 4"
)


def report() -> str:
    """Plant and measure on both databases; return a table of 95th percentiles."""
    with running_servers() as shared, shared.database() as postgres, tempfile.TemporaryDirectory() as folder:
        found = {
            "PostgreSQL": _measured(postgres, Path(folder)),
            "SQLite": _measured(f"sqlite:///{folder}/ledger.db", Path(folder)),
        }
    lines = ["", f"### Reading, with {_JOBS:,} jobs (95th percentile)", "", "| | PostgreSQL | SQLite |"]
    lines.append("| --- | --- | --- |")
    lines += [
        f"| `{path}` | {found['PostgreSQL'][path]:.0f} ms | {found['SQLite'][path]:.0f} ms |"
        for path in found["SQLite"]
    ]
    return "\n".join(lines)


def _measured(url: str, folder: Path) -> dict[str, float]:
    print(f"read: {url.partition(':')[0]}", file=sys.stderr, flush=True)
    os.environ["HOPYARD_DATA"] = str(folder / "data")
    return asyncio.run(_times(url))


async def _times(url: str) -> dict[str, float]:
    import httpx2
    from hopyard import Hopyard
    from hopyard.ledger import access
    from hopyard.web import create_app

    hopyard = Hopyard.load(role="web", overrides={"database_url": url})
    await hopyard.upgrade()
    database = hopyard.client().database
    if url.startswith("sqlite"):
        _plant_sqlite(url.removeprefix("sqlite:///"))
    else:
        await _plant_postgres(url)
    _, token = await access.make(database, "token", "bench", "admin")
    _, session = await access.make(database, "session", "bench", "admin")
    app = create_app(hopyard)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client,
    ):
        found = {path: await _p95(client, path, headers) for path in _PATHS}
        cookie = {"Cookie": f"hopyard_session={session}"}
        return found | {path: await _p95(client, path, cookie) for path in _PAGES}


async def _p95(client: Any, path: str, headers: dict[str, str]) -> float:
    times = []
    for _ in range(_TIMES + 1):
        begun = time.perf_counter()
        answer = await client.get(path, headers=headers)
        times.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
    return sorted(times[1:])[round(_TIMES * 0.95) - 1]  # the first one prepares the statements


def _rows() -> Iterator[tuple[Any, ...]]:
    random, now = Random(1), time.time()
    for n in range(1, _JOBS + 1):
        finished = int((now - n * 0.5) * 1e6)
        dead = n % 50 == 0
        error = json.dumps({"kind": "ValueError", "category": "bug", "message": f"bad value {n % 13}"})
        yield (
            str(uuid.UUID(int=random.getrandbits(128), version=4)),
            *(f"site.t{n % 20}", f"q{n % 20 % 7}", 5, 6 if dead else 7 if n % 97 == 0 else 5),
            *('[[], {"city": "Oslo"}, {}]', "", 1, 0, 1, n, False),
            *(finished - 1_000_000, finished - 700_000, finished, '"done"', error if dead else None),
            *(f"p{n % 10}" if n % 100 == 0 else None, False),
        )


def _plant_sqlite(path: str) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN")
    places = ", ".join("?" * 19)
    raw.executemany(f"INSERT INTO job_history ({_COLUMNS}) VALUES ({places})", _rows())
    raw.execute(_MINUTES.format(minute="finished / 60000000 * 60000000"))
    raw.execute("COMMIT")
    raw.execute("ANALYZE")
    raw.close()


async def _plant_postgres(url: str) -> None:
    import asyncpg
    from hopyard.ledger.values import moment

    raw = await asyncpg.connect(url)
    await raw.execute("ALTER TABLE job_history DISABLE TRIGGER USER")
    rows = ((*row[:12], *(moment(at) for at in row[12:15]), *row[15:]) for row in _rows())
    await raw.copy_records_to_table("job_history", records=rows, columns=_COLUMNS.split(", "), timeout=600)
    await raw.execute(_MINUTES.format(minute="date_trunc('minute', finished)"), timeout=600)
    await raw.execute("ALTER TABLE job_history ENABLE TRIGGER USER")
    await raw.execute("VACUUM ANALYZE", timeout=600)
    await raw.close()
