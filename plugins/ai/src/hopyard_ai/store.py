"""Requests and runs in the ledger's database."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hopyard import Rule, schedules, storage
from hopyard.errors import InvalidInput, NotFound
from hopyard.storage import Row, Transaction, derived_id, moment

from hopyard_ai.models import Request, Run, State

_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
#: Runs that wait for one person and are looked through.
_MOST_WAITING = 200
_NAMED = "(CAST(id AS text) LIKE $1 || '%' OR CAST(id AS text) LIKE '%' || $1)"
_REQUEST = (
    "id, person, kind, title, instruction, rule, zone, phrase, state, after_id, answers, created, "
    "said, expires"
)
OPEN = ("active", "paused", "unconfirmed")
"""The states of requests that are not over."""
_RUN = (
    "id, request_id, due, job_id, state, postponed, decision, answer, calls, pending, model, steps, tokens, "
    "cost, started, finished"
)


def schedule_name(request: str) -> str:
    """Return the name of a request's schedule."""
    return f"ai.request.{request}"


def _request(row: Row) -> Request:
    rule = schedules.rule_from_json(json.loads(row["rule"])) if row["rule"] else None
    upcoming = schedules.preview(rule) if rule and row["state"] in ("active", "unconfirmed") else []
    return Request(
        id=str(row["id"]),
        person=row["person"],
        kind=row["kind"],
        title=row["title"],
        instruction=row["instruction"],
        when=row["phrase"],
        zone=row["zone"],
        state=row["state"],
        after=str(row["after_id"]) if row["after_id"] else None,
        next_times=[_local(one, row["zone"]) for one in upcoming],
        created=_at(row["created"]),
        said=row["said"],
        expires=moment(row["expires"]),
    )


def _local(value: datetime, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    return value.astimezone(ZoneInfo(zone))


def _at(value: Any) -> datetime:
    found = moment(value)
    assert found is not None  # noqa: S101 - the column is not null
    return found


async def insert_request(tx: Transaction, request: Request, rule: Rule | None) -> bool:
    """Store a new request. False: one of that id is there already."""
    now = tx.sql.now
    added = await tx.execute(
        f"INSERT INTO ai_request ({_REQUEST}, updated) "
        f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '[]', {now}, $11, $12, {now}) "
        "ON CONFLICT (id) DO NOTHING",
        request.id,
        request.person,
        request.kind,
        request.title,
        request.instruction,
        json.dumps(schedules.rule_to_json(rule)) if rule else None,
        request.zone,
        request.when,
        request.state,
        request.after,
        request.said,
        request.expires,
    )
    return bool(added)


async def update_request(tx: Transaction, id_: str, **values: Any) -> None:
    """Change columns of a request."""
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(values, 2))
    statement = f"UPDATE ai_request SET {sets}, updated = {tx.sql.now} WHERE id = $1"
    await tx.execute(statement, id_, *values.values())


async def settle(tx: Transaction, id_: str, state: State) -> bool:
    """Give an unconfirmed request its state. False: it is not unconfirmed any more."""
    changed = await tx.execute(
        f"UPDATE ai_request SET state = $2, expires = NULL, updated = {tx.sql.now} "
        "WHERE id = $1 AND state = 'unconfirmed'",
        id_,
        state,
    )
    return bool(changed)


async def rule(id_: str) -> Rule:
    """Return the rule of a request that has one."""
    rows = await storage.fetch("SELECT rule FROM ai_request WHERE id = $1", id_)
    return schedules.rule_from_json(json.loads(rows[0]["rule"]))


async def get_request(id_: str, *, deleted: bool = False) -> Request:
    """Return a request by its id. Raises `NotFound`."""
    found = await stored_request(id_.lower()) if _ID.fullmatch(id_) else None
    if found is None or (found.state == "deleted" and not deleted):
        raise NotFound(f"there is no request {id_}: `hopyard ai list` shows them")
    return found


async def stored_request(id_: str) -> Request | None:
    """Return the request of an id, deleted or not; None if there is none."""
    rows = await storage.fetch(f"SELECT {_REQUEST} FROM ai_request WHERE id = $1", id_)
    return _request(rows[0]) if rows else None


async def find_request(part: str, person: str | None) -> Request:
    """Return a request as people name it: by its id, or the unmistakable beginning or end of it.

    A person's requests are all that there are for them; for None, the operator, everybody's are. Looks
    through all requests where it is not the whole id. Raises `NotFound`, or
    `InvalidInput` where there are several.
    """
    wanted = part.strip().lower()
    rows: Sequence[Row] = ()
    if re.fullmatch(r"[0-9a-f-]{1,36}", wanted):
        named = "id = $1" if _ID.fullmatch(wanted) else _NAMED
        own = "" if person is None else " AND person = $2"
        rows = await storage.fetch(
            f"SELECT {_REQUEST} FROM ai_request WHERE state <> 'deleted' AND {named}{own} LIMIT 2",
            wanted,
            *([] if person is None else [person]),
        )
    if not rows:
        raise NotFound(f"there is no request {part}: `hopyard ai list` shows them")
    if len(rows) > 1:
        raise InvalidInput(f"there is more than one request {part}: `hopyard ai list` shows them")
    return _request(rows[0])


async def answers(id_: str) -> list[str]:
    """Return what the person answered to questions about a request."""
    rows = await storage.fetch("SELECT answers FROM ai_request WHERE id = $1", id_)
    return list(json.loads(rows[0]["answers"])) if rows else []


async def requests(
    *, person: str | None = None, states: Sequence[str] = OPEN, limit: int = 100, oldest: bool = False
) -> list[Request]:
    """Return requests, the newest first, or the oldest."""
    where = f"state {storage.sql().texts('$1')}" + (" AND person = $2" if person else "")
    rows = await storage.fetch(
        f"SELECT {_REQUEST} FROM ai_request WHERE {where} "
        f"ORDER BY id {'' if oldest else 'DESC'} LIMIT {int(limit)}",
        storage.listed(states),
        *([person] if person else []),
    )
    return [_request(row) for row in rows]


async def count_open(person: str) -> int:
    """Return how many requests of a person are neither completed nor deleted."""
    rows = await storage.fetch(
        f"SELECT count(*) AS n FROM ai_request WHERE person = $1 AND state {storage.sql().texts('$2')}",
        person,
        storage.listed(OPEN),
    )
    return int(rows[0]["n"])


async def spent(person: str, since: datetime) -> tuple[int, int, float]:
    """Return how many runs of a person's requests asked a model since then, and tokens and cost in all.

    What jobs for the person spent on texts counts as well.
    """
    runs = await storage.fetch(
        "SELECT count(*) AS runs, coalesce(sum(r.tokens), 0) AS tokens, coalesce(sum(r.cost), 0) AS cost "
        "FROM ai_run r JOIN ai_request q ON q.id = r.request_id "
        "WHERE q.person = $1 AND r.started >= $2 AND r.tokens IS NOT NULL",
        person,
        since,
    )
    texts = await storage.fetch(
        "SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS cost FROM ai_usage "
        "WHERE person = $1 AND at >= $2",
        person,
        since,
    )
    tokens, cost = (sum(rows[0][name] for rows in (runs, texts)) for name in ("tokens", "cost"))
    return int(runs[0]["runs"]), int(tokens), float(cost)


async def dependents(request: Request) -> list[Request]:
    """Return the active requests of the same person that run after this one."""
    rows = await storage.fetch(
        f"SELECT {_REQUEST} FROM ai_request WHERE after_id = $1 AND state = 'active' AND person = $2",
        request.id,
        request.person,
    )
    return [_request(row) for row in rows]


def _run(row: Row) -> Run:
    return Run(
        id=str(row["id"]),
        request=str(row["request_id"]),
        due=_at(row["due"]),
        job=str(row["job_id"]),
        state=row["state"],
        postponed=row["postponed"],
        decision=json.loads(row["decision"]) if row["decision"] else None,
        answer=row["answer"],
        calls=json.loads(row["calls"]) if row["calls"] else [],
        pending=json.loads(row["pending"]) if row["pending"] else [],
        model=row["model"],
        steps=row["steps"],
        tokens=row["tokens"],
        cost=row["cost"],
        started=_at(row["started"]),
        finished=moment(row["finished"]),
    )


def run_id(request: str, due: datetime) -> str:
    """Return the id of the run of a due time."""
    return derived_id("ai.run", request, due.isoformat())


async def begin_run(id_: str, request: str, due: datetime, job: str) -> Run:
    """Return the run of a due time, entered at its first try.

    A run that waited (postponed, for an answer, for approval) or failed is taken up by a later job; one that
    another job works on is returned as it is: `job` says whose it is.
    """
    await storage.execute(
        f"INSERT INTO ai_run (id, request_id, due, job_id, state, postponed, started) "
        f"VALUES ($1, $2, $3, $4, 'running', 0, {storage.sql().now}) ON CONFLICT (id) DO UPDATE "
        "SET job_id = excluded.job_id, state = 'running', finished = NULL "
        "WHERE ai_run.job_id <> excluded.job_id "
        "AND ai_run.state IN ('postponed', 'asking', 'approval', 'failed')",
        id_,
        request,
        due,
        job,
    )
    return await get_run(id_)


async def get_run(id_: str) -> Run:
    """Return a run. Raises `NotFound`."""
    rows = await storage.fetch(f"SELECT {_RUN} FROM ai_run WHERE id = $1", id_)
    if not rows:
        raise NotFound(f"there is no run {id_}")
    return _run(rows[0])


async def messages(id_: str) -> str | None:
    """Return the conversation that the last job of a run left behind; None where it had none."""
    rows = await storage.fetch("SELECT messages FROM ai_run WHERE id = $1", id_)
    return rows[0]["messages"] if rows else None


async def update_run(id_: str, *, finished: bool = False, **values: Any) -> Run:
    """Change columns of a run; values that are no scalars are stored as JSON."""
    async with storage.transaction() as tx:
        await write_run(tx, id_, finished=finished, **values)
    return await get_run(id_)


async def write_run(tx: Transaction, id_: str, *, finished: bool = False, **values: Any) -> None:
    """Change columns of a run, where the caller's transaction is."""
    plain = [json.dumps(v, default=str) if isinstance(v, dict | list) else v for v in values.values()]
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(values, 2))
    end = f", finished = {tx.sql.now}" if finished else ""
    await tx.execute(f"UPDATE ai_run SET {sets}{end} WHERE id = $1", id_, *plain)


async def runs(request: str, limit: int = 10) -> list[Run]:
    """Return a request's runs, the latest due first."""
    rows = await storage.fetch(
        f"SELECT {_RUN} FROM ai_run WHERE request_id = $1 ORDER BY due DESC LIMIT {int(limit)}", request
    )
    return [_run(row) for row in rows]


async def waiting_runs(person: str | None, state: str) -> list[tuple[Request, Run]]:
    """Return the runs that wait for a person (None: for anybody), with their requests, the oldest first."""
    own = "" if person is None else " AND q.person = $2"
    rows = await storage.fetch(
        "SELECT r.id, r.request_id FROM ai_run r JOIN ai_request q ON q.id = r.request_id "
        f"WHERE r.state = $1 AND q.state <> 'deleted'{own} ORDER BY r.due, r.id LIMIT {_MOST_WAITING}",
        state,
        *([] if person is None else [person]),
    )
    return [(await get_request(str(row["request_id"])), await get_run(str(row["id"]))) for row in rows]


async def change_pending(tx: Transaction, run: Run, pending: list[dict[str, Any]]) -> None:
    """Replace the calls that a run waits with. Raises `InvalidInput` where somebody else has done so."""
    changed = await tx.execute(
        "UPDATE ai_run SET pending = $2 WHERE id = $1 AND state = 'approval' AND pending = $3",
        run.id,
        json.dumps(pending, default=str),
        json.dumps(run.pending, default=str),
    )
    if changed != 1:
        raise InvalidInput("somebody has just answered this: look again")
