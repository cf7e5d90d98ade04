"""Deaths of processes that ran jobs: what is known of them, and what becomes of the jobs."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any, Final

from hopyard.ledger import following, waiting
from hopyard.ledger.columns import moved
from hopyard.ledger.database import Connection, Database, appended
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import MESSAGE_COLUMNS, LostJob, QueueMessage, moment, utcnow
from hopyard.redaction import redact
from hopyard.specs import State

#: A job that took down what ran it this often is not tried again.
MAX_CRASHES: Final = 3
#: The last words that are kept of a process.
LAST_LINES: Final = 20
LAST_CHARACTERS: Final = 4096
#: So much of a log is read for them: the first line of what is kept is a whole one.
READ_BYTES: Final = 4 * LAST_CHARACTERS


def how_it_ended(code: int) -> str:
    """Say in words what a process' return code means; negative for a signal."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-code}"


def evidence(code: int, memory: int | None, words: bytes) -> dict[str, Any]:
    """Return what is kept of a death: `exit`, `memory` (resident bytes) and `log`, its last lines.

    Secrets are masked before anything is cut off, so that no half of one is left; give it up to `READ_BYTES`.
    """
    text = redact(words.decode(errors="replace")).replace("\0", "\ufffd")
    return {
        "exit": how_it_ended(code),
        "memory": memory,
        "log": text[-LAST_CHARACTERS:].splitlines()[-LAST_LINES:],
    }


def last_words(log: Path | None) -> bytes:
    """Return the end of a log file; nothing where there is none."""
    if log is None:
        return b""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - READ_BYTES))
            return file.read()
    except OSError:
        return b""


async def witness(database: Database, pid: int, seen: dict[str, Any]) -> bool:
    """Keep what the parent of a worker on this machine saw of its death; False: no such worker was alive."""
    return bool(
        await database.execute(
            "INSERT INTO command (kind, target, data, created) "
            f"SELECT 'death', CAST(max(id) AS text), $3, {database.dialect.now} FROM worker "
            "WHERE host = $1 AND pid = $2 AND stopped IS NULL HAVING max(id) IS NOT NULL",
            socket.gethostname(),
            pid,
            json.dumps(seen),
        )
    )


async def take_back(
    tx: Connection, d: Dialect, worker: int, name: str
) -> tuple[list[LostJob], list[QueueMessage]]:
    """Queue a lost worker's running jobs again; those that crashed too often end dead.

    Each gets an entry with what is known of the death. Returns all of them, and the messages of those that
    wait again.
    """
    await tx.execute(d.no_index)
    jobs = await tx.fetch(
        f"SELECT {MESSAGE_COLUMNS}, attempt, started, person FROM job_live WHERE worker = $1 "
        f"AND state = {State.RUNNING:d} ORDER BY id {d.for_update}",
        worker,
    )
    seen = await tx.fetch("SELECT data FROM command WHERE kind = 'death' AND target = $1", str(worker))
    known = json.loads(seen[-1]["data"]) if seen else None
    how = known["exit"] if known else "nobody saw how"
    dead, again = list[tuple[str, str, str]](), list[tuple[str, str]]()
    lost, messages = list[LostJob](), list[QueueMessage]()
    for job in jobs:
        began, over = moment(job["started"]), job["crashes"] + 1 >= MAX_CRASHES
        words = f"the worker was lost ({how})"
        entry = json.dumps(
            {
                "attempt": job["attempt"],
                "outcome": "lost",
                "worker": worker,
                "name": name,
                "began": began.isoformat() if began else None,
                "at": utcnow().isoformat(),
                "kind": "WorkerLost",
                "message": words,
                "evidence": known,
            }
        )
        id_, task, queue = str(job["id"]), job["task"], job["queue"]
        lost.append(LostJob(id_, task, queue, job["attempt"], worker, job["person"], words, over))
        if over:
            dead.append((id_, _error(how), entry))
        else:
            again.append((id_, entry))
            messages.append(QueueMessage.of(job)._replace(first=True))
    await _end(tx, d, dead)
    await tx.execute_many(
        f"UPDATE job_live SET state = {State.QUEUED:d}, crashes = crashes + 1, worker = NULL, "
        f"attempts = {appended('$2')} WHERE id = $1",
        again,
    )
    await waiting.enter(tx, d, [id_ for id_, _ in again])
    return lost, messages


async def _end(tx: Connection, d: Dialect, dead: list[tuple[str, str, str]]) -> None:
    kept = moved("crashes", "attempts")
    for id_, _, _ in dead:
        await following.mark(tx, d, "id = $1", id_)
    await tx.execute_many(
        f"INSERT INTO job_history ({kept}, crashes, state, error, attempts, finished) "
        f"SELECT {kept}, crashes + 1, {State.DEAD:d}, $2, {appended('$3')}, {d.now} "
        "FROM job_live WHERE id = $1",
        dead,
    )
    await tx.execute_many("DELETE FROM job_live WHERE id = $1", [(id_,) for id_, _, _ in dead])


def _error(how: str) -> str:
    return json.dumps(
        {
            "kind": "WorkerLost",
            "category": "resource",
            "message": f"what ran it died {MAX_CRASHES} times, the last time: {how}",
        }
    )
