"""Finding a job by what a person types: its id, or the beginning or the end of it."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from hopyard.errors import UnknownJob
from hopyard.ledger.database import Database
from hopyard.ledger.values import job_id

#: Fewer characters than this would name other jobs by chance.
SHORTEST: Final = 6
_HEX: Final = re.compile(r"[0-9a-f]+(?:-[0-9a-f]+)*").fullmatch
_SHOWN: Final = 5


async def find_job(database: Database, text: str) -> str:
    """Return the id of the job that `text` names: a whole id, also one of Celery's, or a unique part of one.

    A part is the beginning or the end, of at least 6 characters. A whole UUID is returned as it is, whether
    there is such a job or not. Raises `UnknownJob` for what names none, or several.
    """
    wanted = text.strip().lower()
    try:
        if len(wanted.replace("-", "")) == 32:
            return str(UUID(wanted))
    except ValueError:
        pass  # no UUID: an id of Celery's, as below
    if len(wanted) < SHORTEST or len(wanted) > 36 or not _HEX(wanted):
        return await _named_by_celery(database, text)
    found = await _matching(database, wanted)
    if not found:
        return await _named_by_celery(database, text)
    if len(found) > 1:
        more = " …" if len(found) > _SHOWN else ""
        raise UnknownJob(f"`{text}` names more than one job: {', '.join(found[:_SHOWN])}{more}")
    return found[0]


async def _named_by_celery(database: Database, text: str) -> str:
    """Return the id that a job of this foreign id has. Raises `UnknownJob` if there is none."""
    id_ = job_id(text)
    rows = await database.fetch(
        "SELECT id FROM job_live WHERE id = $1 UNION ALL SELECT id FROM job_history WHERE id = $1", id_
    )
    if not rows:
        raise UnknownJob(
            f"the ledger has no job `{text}`: expected an id, or at least {SHORTEST} characters of its "
            "beginning or end"
        )
    return id_


async def _matching(database: Database, wanted: str) -> list[str]:
    """Return ids that begin or end so, a few: the first by the key's index, the last by looking at all."""
    digits = wanted.replace("-", "")
    first, last = str(UUID(digits.ljust(32, "0"))), str(UUID(digits.ljust(32, "f")))
    rows = await database.fetch(
        " UNION ".join(
            f"SELECT * FROM (SELECT CAST(id AS text) AS id FROM {table} WHERE {condition} "
            f"LIMIT {_SHOWN + 1}) AS found{n}"
            for n, (table, condition) in enumerate(
                (table, condition)
                for table in ("job_live", "job_history")
                for condition in ("id BETWEEN $1 AND $2", "CAST(id AS text) LIKE '%' || $3")
            )
        ),
        first,
        last,
        wanted,
    )
    ids = sorted(str(row["id"]) for row in rows)
    return [id_ for id_ in ids if _begins_or_ends(id_, wanted)]


def _begins_or_ends(id_: str, wanted: str) -> bool:
    return id_.startswith(wanted) or id_.endswith(wanted) or id_.replace("-", "").startswith(wanted)
