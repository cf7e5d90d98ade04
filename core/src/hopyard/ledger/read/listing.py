"""Lists of jobs: a filter, a page, a cursor.

First the live jobs, the newest first, then those that are over, the latest first. A page looks at a limited
number of rows, whatever the filter: where few of many jobs match, it may come back short, with a cursor that
goes on behind what was looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hopyard import checks
from hopyard.errors import SpecError
from hopyard.ledger import stored
from hopyard.ledger.database import Database, Row
from hopyard.ledger.read import summary
from hopyard.ledger.read.summary import JobSummary
from hopyard.ledger.readers import COLUMNS, NOT_OVER, describe
from hopyard.ledger.values import is_job_id, job_id, micros, moment
from hopyard.specs import State

#: Rows that one page looks at, at most.
WINDOW: Final = 10_000
#: Rows of one person, task or parent, and failures, are scattered: each costs as much as so many in a row.
_SCATTERED: Final = 4
#: Jobs of one page, at most.
MOST: Final = 1_000
#: Windows that are looked at to count.
_COUNTED: Final = 5
_LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LAST_TIME: Final = datetime.max.replace(tzinfo=UTC)
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS: Final = re.compile("(?a:[0-9]{1,17}|2534023007[0-9]{8})").fullmatch
#: Columns with an index of their own, the one that leaves the fewest rows first.
_INDEXED: Final = ("parent", "person", "schedule", "task")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are meant: all that is given must hold.

    `plugins` are those whose tasks are meant; None is all, an empty list none. `error` is a text in the
    error's line, as lists show it, to the letter, and leaves out jobs that are not over. `since` and `until`
    are about when live jobs were made, and when others ended.
    """

    states: Sequence[State] = ()
    task: str | None = None
    plugins: Sequence[str] | None = None
    queue: str | None = None
    person: str | None = None
    schedule: str | None = None
    parent: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[str] = ()
    fingerprint: str | None = None
    """What a group of failures has in common (`summary.fingerprint`): looked for in the rows of a page, which
    may come back short."""


class Page(NamedTuple):
    """Jobs in short, and `cursor` for the next page: None behind the last one.

    `looked_back_to` is set where a page ended before it was full: no job of the filter that ended (of live
    ones: was made) since then is left out.
    """

    jobs: list[JobSummary]
    cursor: str | None
    looked_back_to: datetime | None = None


class _Rows(NamedTuple):
    """As `Page`, of rows."""

    rows: list[Row]
    cursor: str | None
    looked_back_to: datetime | None = None


_Condition = tuple[str, tuple[Any, ...]]


class _Columns(NamedTuple):
    """What is read of each row: of live jobs, and of those that are over."""

    live: str
    over: str


_SUMMARIES: Final = _Columns(summary.LIVE, summary.OVER)
_WHOLE: Final = _Columns(f"{COLUMNS}, {NOT_OVER}", f"{COLUMNS}, finished, result, error")


class _Place(NamedTuple):
    """A place in the list: `at` is when a live job was made, or when another one ended."""

    over: bool
    at: datetime
    id: str


_TOP: Final = _Place(False, _LAST_TIME, _LAST_ID)
_TOP_OF_HISTORY: Final = _Place(True, _LAST_TIME, _LAST_ID)


async def page(database: Database, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Page:
    """Return up to `limit` jobs (1 to 1,000) from `cursor` on. Raises `SpecError` for what is no cursor."""
    checks.whole("limit", limit, 1, MOST)
    found = await _page(database, wanted, limit, _read(cursor), _SUMMARIES)
    jobs = [job for job in map(summary.summary, found.rows) if _alike(wanted, job)]
    looked = found.looked_back_to
    if len(jobs) < len(found.rows) and found.cursor is not None:
        looked = _read(found.cursor).at
    return Page(jobs, found.cursor, looked)


async def jobs(database: Database, wanted: JobFilter, *, limit: int = 50) -> list[dict[str, Any]]:
    """Return the first `limit` jobs with all that their rows say (`readers.describe`), however far back."""
    found: list[dict[str, Any]] = []
    place: _Place | None = _TOP
    while place is not None and len(found) < limit:
        some = await _page(database, wanted, min(MOST, limit - len(found)), place, _WHOLE)
        found += [describe(row) for row in some.rows if _alike(wanted, summary.summary(row))]
        place = _read(some.cursor) if some.cursor is not None else None
    return found


async def count(database: Database, wanted: JobFilter, *, most: int = 10_000) -> tuple[int, bool]:
    """Count jobs up to `most`; say whether the number is exact.

    Of live jobs, and of those that are over, some ten thousands of the latest are looked at.
    """
    if wanted.fingerprint is not None:
        return await _count_alike(database, wanted, most)
    total, exact = 0, True
    for over in (False, True):
        if _possible(wanted, over=over):
            found, looked_at, limit = await _counted(database, wanted, over, most)
            total, exact = total + found, exact and looked_at < limit
    return min(total, most), exact and total <= most


async def _count_alike(database: Database, wanted: JobFilter, most: int) -> tuple[int, bool]:
    """As `count`, page by page: whether errors are alike, no database can tell."""
    total, cursor = 0, None
    for _ in range(-(-most // MOST)):
        found = await page(database, wanted, limit=MOST, cursor=cursor)
        total, cursor = total + len(found.jobs), found.cursor
        if cursor is None:
            return total, True
    return total, False


async def _counted(database: Database, wanted: JobFilter, over: bool, most: int) -> tuple[int, int, int]:
    """Return how many rows match, how many were looked at, and how many may be."""
    query = _Query(database, over)
    led = query.lead(wanted)
    query.begin_behind(_TOP_OF_HISTORY if over else _TOP)
    rest = _rest(database, wanted, led)
    limit = query.window * _COUNTED if rest else most + 1
    return (*await query.count(rest, limit), limit)


async def _page(database: Database, wanted: JobFilter, limit: int, place: _Place, columns: _Columns) -> _Rows:
    rows: list[Row] = []
    if not place.over:
        if _possible(wanted, over=False):
            live = await _part(database, wanted, limit, place, columns)
            if live.cursor is not None:
                return live
            rows = live.rows
        place = _TOP_OF_HISTORY
    if not _possible(wanted, over=True):
        return _Rows(rows, None)
    if len(rows) == limit:
        return _Rows(rows, _written(place))
    over = await _part(database, wanted, limit - len(rows), place, columns)
    return over._replace(rows=rows + over.rows)


def _alike(wanted: JobFilter, job: JobSummary) -> bool:
    """Say whether a job's error is of the kind that is meant, if one is."""
    return wanted.fingerprint is None or summary.fingerprint(job.task, job.error or "") == wanted.fingerprint


def _possible(wanted: JobFilter, *, over: bool) -> bool:
    """Say whether live jobs, or those that are over, can match at all."""
    if not over and wanted.error is not None:
        return False
    return not wanted.states or any(state.final is over for state in wanted.states)


async def _part(database: Database, wanted: JobFilter, limit: int, place: _Place, columns: _Columns) -> _Rows:
    """Return a page of live jobs, or of those that are over."""
    query = _Query(database, place.over)
    led = query.lead(wanted)
    query.begin_behind(place)
    rest = _rest(database, wanted, led)
    edge = await query.edge() if rest and not wanted.ids else None
    for condition, values in rest:
        query.add(query.about(condition), *values)
    if edge is not None:
        query.end_at(edge)
    rows = await query.rows(limit + 1, columns)
    if len(rows) > limit:
        return _Rows(rows[:limit], _written(query.place(rows[limit - 1])))
    if edge is not None:
        return _Rows(rows, _written(edge), edge.at)
    return _Rows(rows, None)


class _Query:
    """Conditions on one of the two tables, with their parameters."""

    def __init__(self, database: Database, over: bool) -> None:
        self._database = database
        self._over = over
        self._table, self._last = ("job_history", "finished") if over else ("job_live", "created")
        self._where: list[str] = []
        self._values: list[Any] = []
        self.window = WINDOW
        """Rows that may be looked at for one page."""

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition with `{}` where each value belongs."""
        first = len(self._values) + 1
        self._values += values
        self._where.append(condition.format(*(f"${n}" for n in range(first, first + len(values)))))

    def lead(self, wanted: JobFilter) -> str | None:
        """Add the condition that an index leads to; return which field of the filter that is."""
        for name in _INDEXED:
            if getattr(wanted, name) is not None and (self._over or name != "task"):
                self.add(f"{name} = {{}}", _value(wanted, name))
                self.window = max(1, WINDOW // _SCATTERED)
                return name
        states = [state for state in wanted.states if state.final]
        if self._over and states and State.SUCCEEDED not in states:
            self.add(f"state <> {State.SUCCEEDED:d}")
            self.window = max(1, WINDOW // _SCATTERED)
        return None

    def about(self, condition: str) -> str:
        """Return a condition with the column that tells this table's times."""
        return condition.replace("LAST", self._last)

    def begin_behind(self, place: _Place) -> None:
        """Leave out what comes up to a place."""
        self.add(f"{self._last} <= {{0}} AND ({self._last}, id) < ({{0}}, {{1}})", place.at, place.id)

    def end_at(self, place: _Place) -> None:
        """Leave out what comes behind a place."""
        self.add(f"{self._last} >= {{0}} AND ({self._last}, id) >= ({{0}}, {{1}})", place.at, place.id)

    async def edge(self) -> _Place | None:
        """Return the last of the rows that may be looked at; None if there are no more than those."""
        rows = await self._select(f"id, {self._last}", 1, self.window - 1)
        return self.place(rows[0]) if rows else None

    async def count(self, rest: Sequence[_Condition], limit: int) -> tuple[int, int]:
        """Return how many of the first `limit` rows match the rest of a filter, and how many there are."""
        inner, held = " AND ".join(self._where), len(self._where)
        for condition, values in rest:
            self.add(self.about(condition), *values)
        outer = " AND ".join(self._where[held:]) or "true"
        (row,) = await self._database.fetch(
            f"SELECT count(*) AS all_rows, count(CASE WHEN {outer} THEN 1 END) AS matching FROM "
            f"(SELECT * FROM {self._table} WHERE {inner} ORDER BY {self._last} DESC, id DESC "
            f"LIMIT {int(limit)}) AS latest",
            *self._values,
        )
        return int(row["matching"]), int(row["all_rows"])

    async def rows(self, limit: int, columns: _Columns) -> list[Row]:
        """Return rows with these columns."""
        return await self._select(columns.over if self._over else columns.live, limit, 0)

    async def _select(self, columns: str, limit: int, offset: int) -> list[Row]:
        found = await self._database.fetch(
            f"SELECT {columns} FROM {self._table} "
            f"WHERE {' AND '.join(self._where)} ORDER BY {self._last} DESC, id DESC "
            f"LIMIT {int(limit)} OFFSET {int(offset)}",
            *self._values,
        )
        return [*found]

    def place(self, row: Row) -> _Place:
        """Return where a row stands."""
        at = moment(row[self._last])
        return _Place(self._over, at or _NO_TIME, str(row["id"]))


def _rest(database: Database, wanted: JobFilter, led: str | None) -> list[_Condition]:
    """Return the conditions of a filter that no index leads to; `LAST` stands for the column of the time."""
    d = database.dialect
    rest: list[_Condition] = [
        (f"{name} = {{}}", (_value(wanted, name),))
        for name in (*_INDEXED, "queue")
        if getattr(wanted, name) is not None and name != led
    ]
    if wanted.states:
        states = ", ".join(str(int(state)) for state in wanted.states)
        rest.append((f"state IN ({states})", ()))
    if wanted.plugins is not None:
        rest.append(_of_plugins(wanted.plugins))
    if wanted.error is not None:
        rest.append((summary.error_has(d, "{}"), (stored.within(wanted.error),)))
    if wanted.since is not None:
        rest.append(("LAST >= {}", (wanted.since,)))
    if wanted.until is not None:
        rest.append(("LAST < {}", (wanted.until,)))
    if wanted.ids:
        rest.append(("id " + d.ids("{}"), (database.list([job_id(one) for one in wanted.ids]),)))
    return rest


def _of_plugins(plugins: Sequence[str]) -> _Condition:
    """Return the condition that a task is one of these plugins'; `/` is the character behind `.`."""
    if not plugins:
        return "1 = 0", ()
    some = " OR ".join(["(task >= {} AND task < {})"] * len(plugins))
    return f"({some})", tuple(bound for name in plugins for bound in (f"{name}.", f"{name}/"))


def _value(wanted: JobFilter, name: str) -> Any:
    value = getattr(wanted, name)
    return job_id(value) if name == "parent" else value


def _written(place: _Place) -> str:
    return f"{'over' if place.over else 'live'}.{micros(place.at)}.{place.id}"


def _read(cursor: str | None) -> _Place:
    if cursor is None:
        return _TOP
    match cursor.split("."):
        case ["live" | "over" as part, at, id_] if is_job_id(id_) and _MICROSECONDS(at):
            return _Place(part == "over", moment(int(at)) or _NO_TIME, id_)
    raise SpecError(f"cursor: {checks.shown(cursor)} is none; expected the `cursor` of the page before")
