"""Writes what this release leaves in a database, for the tests of later releases' upgrades.

Run by hand when a release is made: `python tests/upgrade/write_snapshot.py 0.2.0`. It makes a ledger on
SQLite and one on PostgreSQL, puts in something of everything, and writes both as SQL texts beside this file.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from hopyard import current  # noqa: E402
from hopyard.app import Hopyard  # noqa: E402
from hopyard.ledger import cancelling, effects, keys, leader, notes, queues, workers  # noqa: E402
from hopyard.ledger.values import Again, Done, NewJob, Progress, utcnow  # noqa: E402
from hopyard.schedule import store as schedules  # noqa: E402
from hopyard.specs import Rule, Schedule, State  # noqa: E402
from servers import fresh_database, postgres_programs, running_postgres  # noqa: E402
from upgrade.site import HOPFILE, SETTINGS, id_of  # noqa: E402


class Silent:
    """A broker that takes no message: the jobs stay queued."""

    async def publish(self, rings: object) -> None:
        """Take nothing."""

    async def close(self) -> None:
        """Nothing is open."""


def job(name: str, **values: object) -> NewJob:
    plain = {
        "id": id_of(name),
        "task": "site.note",
        "queue": "site",
        "priority": 5,
        "body": json.dumps([[], {"what": name}, {}]),
        "headers": "",
    }
    return NewJob(**{**plain, **values})  # type: ignore[arg-type]


async def fill(hopyard: Hopyard) -> None:
    """Put something of everything into a ledger."""
    client = hopyard.client()
    await client.publisher.close()
    client.publisher = Silent()  # type: ignore[assignment]
    database, d = client.database, client.database.dialect
    hour = timedelta(hours=1)
    number = await workers.register(
        database, name="old@gone", role="worker", queues=["site"], plugins={}, lease=15
    )
    await database.submit(
        [
            job("queued", person="alice", priority=9),
            job("delayed", state=State.SCHEDULED, eta=utcnow() + timedelta(seconds=1)),
            job("far", state=State.SCHEDULED, eta=utcnow() + timedelta(days=3650)),
            job("parked", task="nobody.knows", queue="nobody", state=State.PARKED, reason="nobody knows it"),
            *(job(name) for name in ("running", "retrying", "effect", "succeeded", "dead", "cancelled")),
            job("linked", linked=True),
            job("child", parent=id_of("succeeded"), root=id_of("succeeded")),
        ]
    )
    wanted = [id_of(name) for name in ("running", "retrying", "effect", "succeeded", "dead", "linked")]
    claims = {claim.id: claim for claim in await database.claim(wanted, number, 1)}
    entry = {"attempt": 1, "outcome": "failed", "kind": "ValueError", "message": "of old", "worker": number}
    error = {"kind": "ValueError", "message": "of old", "category": "bug", "traceback": "…"}
    await database.again(
        [Again(id_of("retrying"), 1, utcnow() + timedelta(seconds=1), "it failed", json.dumps(entry))], number
    )
    fence = (number, 1)
    await notes.write_checkpoint(database, id_of("running"), fence, {"page": 7})
    await notes.write_progress(database, [Progress(id_of("running"), 7, 10, "page 7", utcnow())])
    await effects.begin(database, id_of("effect"), fence, "mail", {"to": "alice"})
    await effects.end(database, id_of("effect"), fence, "mail", "done", "sent by the old release")
    await database.finish(
        [
            Done(
                id_of("succeeded"), claims[id_of("succeeded")].claim, State.SUCCEEDED, '{"n": 1}', None, None
            ),
            Done(id_of("linked"), claims[id_of("linked")].claim, State.SUCCEEDED, "null", None, None),
            Done(id_of("dead"), 1, State.DEAD, None, json.dumps(error), json.dumps(entry)),
        ],
        number,
    )
    await cancelling.cancel(database, [id_of("cancelled")], "no longer wanted")
    await keys.submit_unique(database, job("unique"), keys.Unique("one of it"))
    await client.submit_group([job("part", job_group=id_of("group"))], {id_of("group"): 2})  # type: ignore[call-arg]
    await leader.lead(database, "schedule", "old:1:abcdef", 8)
    await leader.lead(database, "reconcile", "old:2:abcdef", 8)
    await queues.pause(database, "paused", "alice")
    async with database.transaction() as tx:
        for name, rule in (("minutely", Rule(every=60)), ("after", Rule(after="minutely"))):
            await schedules.put(
                tx, d, Schedule(name, "site.note", rule, kwargs={"what": name}), person="alice"
            )
        await tx.execute(
            f"INSERT INTO schedule_fire (schedule, due, job_id, fired) VALUES ('minutely', $1, $2, {d.now})",
            utcnow() - hour,
            id_of("succeeded"),
        )
        await tx.execute(
            "INSERT INTO job_part (group_id, member, n, result) VALUES ($1, $2, 0, '1')",
            id_of("group"),
            id_of("succeeded"),
        )
    await _requests()


async def _requests() -> None:
    from hopyard.notifications import notify
    from hopyard_ai import manager, store

    await notify("alice", "An old word", "from the release before", data={"n": 1})
    made = await manager.create("every hour tell me the disk usage", person="alice")
    await manager.create("water the plants", person="alice", after=made.request.id)
    run = await store.begin_run(id_of("run"), made.request.id, utcnow(), id_of("succeeded"))
    await store.update_run(run.id, state="asking", answer="Which disk?", tokens=12, cost=0.5)


async def make(folder: Path, url: str) -> None:
    """Make a ledger at `url` with this release."""
    folder.mkdir()
    (folder / "hopfile.py").write_text(HOPFILE)
    (folder / "hopyard.toml").write_text(SETTINGS.format(database=url, broker="redis://127.0.0.1:1/0"))
    hopyard = Hopyard.load(config=folder / "hopyard.toml", data=folder / "data")
    assert not [record.reason for record in hopyard.plugins.records if record.failed]
    await hopyard.upgrade()
    await fill(hopyard)
    await hopyard.close()
    current.set_instance(None)


def main(release: str) -> None:
    """Write both snapshots."""
    import sqlite3
    from urllib.parse import urlsplit

    with tempfile.TemporaryDirectory() as name, running_postgres() as server:
        folder = Path(name)
        asyncio.run(make(folder / "sqlite", f"sqlite:///{folder / 'ledger.db'}"))
        with sqlite3.connect(folder / "ledger.db") as connection:
            (HERE / f"{release}-sqlite.sql").write_text("\n".join(connection.iterdump()) + "\n")
        url = fresh_database(server)
        asyncio.run(make(folder / "postgresql", url))
        parts = urlsplit(url)
        command = [str(postgres_programs() / "pg_dump"), "--inserts", "--no-owner", "--no-privileges"]
        place = ["-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username)]
        dump = subprocess.run(
            [*command, *place, parts.path[1:]], check=True, capture_output=True, text=True
        ).stdout
        # Words to psql, not to the server.
        kept = [line for line in dump.splitlines() if line and not line.startswith(("--", "\\"))]
        (HERE / f"{release}-postgresql.sql").write_text("\n".join(kept) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
