"""What an installation has only so much of, such as GPUs: who holds it, who waits for it.

A row says that a job holds an amount under a claim, or that it waits. Whether it counts is told by
`job_live`: a hold is one only while the job runs under that claim, so whatever dies, nothing has to be given
back. One transaction at a time changes the rows. Who waits is served in turn: by priority, then by the time
since when it waits; nobody overtakes another who waits for the same resource.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hopyard.ledger.columns import PAUSED
from hopyard.ledger.database import Connection, Database, Row
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import MESSAGE_COLUMNS, QueueMessage
from hopyard.specs import State

#: So many seconds a resource is kept free for a job that was called; one that does not come waits anew.
CALL_SECONDS: Final = 10.0


class Wanted(NamedTuple):
    """A claimed job, and what it needs before it may begin."""

    id: str
    claim: int
    resources: Mapping[str, int]


@dataclass(slots=True)
class _Waiter:
    """A job that waits, with all that it waits for; not `reachable`: others need not wait for it."""

    id: str
    order: tuple[Any, ...]
    reachable: bool
    called: bool
    since: Any
    resources: dict[str, int] = field(default_factory=dict)


class _Books:
    """What is held, kept free, and waited for at one moment."""

    def __init__(self, totals: Mapping[str, int], rows: Iterable[Row]) -> None:
        self._totals = totals
        self._used: dict[str, int] = defaultdict(int)
        self.waiters: dict[str, _Waiter] = {}
        for row in rows:
            if row["claim"] is not None:
                self._used[row["resource"]] += row["amount"]
                continue
            id_, order = str(row["job_id"]), (-row["priority"], row["since"], str(row["job_id"]))
            waiter = self.waiters.setdefault(
                id_, _Waiter(id_, order, bool(row["reachable"]), bool(row["called"]), row["since"])
            )
            waiter.resources[row["resource"]] = row["amount"]
            if row["amount"] > totals.get(row["resource"], 0):
                waiter.reachable = False  # it can never begin: nobody waits for it
            if row["called"]:
                self._used[row["resource"]] += row["amount"]

    def take(self, one: Wanted) -> bool:
        """Note that a claimed job holds what it needs, if it may; say whether it may."""
        own = self.waiters.pop(one.id, None)
        if own is not None and own.called:
            self._add(own.resources, -1)
        before = [
            waiter
            for waiter in self.waiters.values()
            if waiter.reachable and not waiter.called and (own is None or waiter.order < own.order)
        ]
        called = own is not None and own.called
        overtakes = not called and any(one.resources.keys() & waiter.resources.keys() for waiter in before)
        if overtakes or not self._fits(one.resources):
            return False
        self._add(one.resources, 1)
        return True

    def call(self) -> list[str]:
        """Return the waiting jobs whose turn it is; what they need is kept free for them."""
        called, blocked = [], set[str]()
        for waiter in sorted(self.waiters.values(), key=lambda waiter: waiter.order):
            if waiter.called or not waiter.reachable:
                continue
            if blocked & waiter.resources.keys() or not self._fits(waiter.resources):
                blocked |= waiter.resources.keys()
                continue
            self._add(waiter.resources, 1)
            called.append(waiter.id)
        return called

    def _fits(self, resources: Mapping[str, int]) -> bool:
        return all(
            self._used[name] + amount <= self._totals.get(name, 0) for name, amount in resources.items()
        )

    def _add(self, resources: Mapping[str, int], sign: int) -> None:
        for name, amount in resources.items():
            self._used[name] += sign * amount


async def take(
    database: Database, wanted: Sequence[Wanted], totals: Mapping[str, int], worker: int
) -> set[str]:
    """Have claimed jobs hold what they need; return those that may begin.

    The others are queued again, without an attempt and without a message, and wait for their turn.
    """
    d = database.dialect
    async with database.transaction() as tx:
        await tx.execute(d.lock_resources)
        await tx.execute(_FORGET)  # here as well, for where nobody ever waits nobody is called
        books = _Books(totals, await _rows(tx, d, None))
        since = {waiter.id: waiter.since for waiter in books.waiters.values()}
        taken = {one.id for one in wanted if books.take(one)}
        await tx.execute(
            f"DELETE FROM job_resource WHERE job_id {d.ids('$1')}", database.list([one.id for one in wanted])
        )
        rows = [
            (one.id, name, amount, one.claim if one.id in taken else None)
            for one in wanted
            for name, amount in one.resources.items()
        ]
        insert = "INSERT INTO job_resource (job_id, resource, amount, claim, since) VALUES ($1, $2, $3, $4, "
        await tx.execute_many(f"{insert}{d.now})", [row for row in rows if row[0] not in since])
        await tx.execute_many(f"{insert}$5)", [(*row, since[row[0]]) for row in rows if row[0] in since])
        await tx.execute_many(
            f"UPDATE job_live SET state = {State.QUEUED:d}, worker = NULL, attempt = attempt - 1, "
            f"rung = {d.now} WHERE id = $1 AND claim = $2 AND worker = $3 AND state = {State.RUNNING:d}",
            [(one.id, one.claim, worker) for one in wanted if one.id not in taken],
        )
    return taken


async def anybody_waits(database: Database) -> bool:
    """Say whether a job waits for a resource."""
    return bool(await database.fetch("SELECT 1 AS one FROM job_resource WHERE claim IS NULL LIMIT 1"))


async def call(database: Database, totals: Mapping[str, int], queues: Iterable[str]) -> list[QueueMessage]:
    """Return the messages of jobs whose turn it is, of `queues` that somebody serves; rows that count no
    more go.
    """
    d = database.dialect
    async with database.transaction() as tx:
        await tx.execute(d.lock_resources)
        await tx.execute(_FORGET)
        # Called, and nobody came: the next one has its turn.
        await tx.execute(
            f"UPDATE job_resource SET called = NULL, since = {d.now} WHERE claim IS NULL AND called < {d.now}"
        )
        called = _Books(totals, await _rows(tx, d, database.list(queues))).call()
        if not called:
            return []
        ids = database.list(called)
        until = d.plus(d.now, f"{CALL_SECONDS:g}")
        await tx.execute(f"UPDATE job_resource SET called = {until} WHERE job_id {d.ids('$1')}", ids)
        rows = await tx.fetch(
            f"UPDATE job_live SET rung = {d.now} WHERE id {d.ids('$1')} AND state = {State.QUEUED:d} "
            f"RETURNING {MESSAGE_COLUMNS}",
            ids,
        )
    return [QueueMessage.of(row) for row in rows]


#: Removes the rows that count no more.
_FORGET: Final = (
    "DELETE FROM job_resource WHERE NOT EXISTS "
    "(SELECT 1 FROM job_live j WHERE j.id = job_resource.job_id AND "
    f"((job_resource.claim = j.claim AND j.state = {State.RUNNING:d}) OR (job_resource.claim IS NULL "
    f"AND j.state IN ({State.QUEUED:d}, {State.RUNNING:d}))))"
)


async def _rows(tx: Connection, d: Dialect, queues: Any) -> Sequence[Row]:
    """Return the rows that count; `queues`: those that somebody serves, None for all."""
    served = "" if queues is None else f" AND j.queue {d.texts('$1')}"
    return await tx.fetch(
        f"SELECT r.job_id, r.resource, r.amount, r.claim, r.since, r.called > {d.now} AS called, j.priority, "
        f"j.queue NOT IN {PAUSED}{served} AS reachable "
        "FROM job_resource r JOIN job_live j ON j.id = r.job_id "
        f"WHERE (r.claim = j.claim AND j.state = {State.RUNNING:d}) OR (r.claim IS NULL AND "
        f"j.state IN ({State.QUEUED:d}, {State.RUNNING:d}))",
        *([] if queues is None else [queues]),
    )


async def overview(database: Database, totals: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return each resource with its `total`, how much is `held` and by whom, and how many jobs wait for it.

    `holders` are lists of `job`, `task`, `amount` and `worker`, its name.
    """
    rows = await database.fetch(
        "SELECT r.job_id, r.resource, r.amount, r.claim, j.task, w.name FROM job_resource r "
        "JOIN job_live j ON j.id = r.job_id LEFT JOIN worker w ON w.id = j.worker "
        f"WHERE (r.claim = j.claim AND j.state = {State.RUNNING:d}) OR (r.claim IS NULL "
        f"AND j.state = {State.QUEUED:d}) ORDER BY r.resource, r.since, r.job_id"
    )
    found = {
        name: {"resource": name, "total": totals.get(name, 0), "held": 0, "waiting": 0, "holders": []}
        for name in sorted({*totals, *(row["resource"] for row in rows)})
    }
    for row in rows:
        entry: dict[str, Any] = found[row["resource"]]
        if row["claim"] is None:
            entry["waiting"] += 1
            continue
        entry["held"] += row["amount"]
        holder = {"job": str(row["job_id"]), "task": row["task"], "amount": row["amount"]}
        entry["holders"].append(holder | {"worker": row["name"]})
    return [*found.values()]


async def waits(database: Database, id_: str) -> dict[str, int]:
    """Return what a job waits for, by name; empty if it waits for none."""
    rows = await database.fetch(
        "SELECT resource, amount FROM job_resource WHERE job_id = $1 AND claim IS NULL ORDER BY resource", id_
    )
    return {row["resource"]: row["amount"] for row in rows}
