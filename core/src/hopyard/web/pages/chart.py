"""The chart of what ended by minute: its numbers, for a template that draws it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from hopyard.ledger.read.counting import EndedCount
from hopyard.specs import State

#: Plugins with a colour of their own; what others ended has one together.
_COLOURS: Final = 6
MINUTES: Final = 60
#: The drawing's own units; the page stretches it.
HEIGHT: Final = 100.0
WIDTH: Final = 10.0


@dataclass(slots=True)
class Row:
    """What a plugin ended in the hour, and the class of its colour."""

    plugin: str
    colour: str
    ended: int = 0
    dead: int = 0
    began: int = 0
    waited: float = 0.0
    ran: float = 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a column, measured from the top."""

    colour: str
    y: float
    height: float


@dataclass(slots=True)
class Column:
    """A minute."""

    x: float
    at: datetime
    jobs: int = 0
    dead: int = 0
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chart:
    """Sixty columns, the earliest first, and what they are made of by plugin."""

    columns: list[Column]
    rows: list[Row]
    top: int
    jobs: int
    dead: int


def chart(ended: Iterable[EndedCount], now: datetime) -> Chart:
    """Return the chart of the hour up to `now`."""
    last = now.astimezone(UTC).replace(second=0, microsecond=0)
    first = last - timedelta(minutes=MINUTES - 1)
    counts: dict[int, Counter[str]] = {n: Counter() for n in range(MINUTES)}
    rows: dict[str, Row] = {}
    for one in ended:
        n = int((one.at - first).total_seconds() // 60)
        if n not in counts:
            continue
        plugin = one.task.partition(".")[0]
        row = rows.setdefault(plugin, Row(plugin, ""))
        row.ended, row.began = row.ended + one.jobs, row.began + one.began
        row.waited, row.ran = row.waited + one.waited, row.ran + one.ran
        row.dead += one.jobs if one.state is State.DEAD else 0
        counts[n]["\0dead" if one.state is State.DEAD else plugin] += one.jobs
    ordered = sorted(rows.values(), key=lambda row: (-row.ended, row.plugin))
    for n, row in enumerate(ordered):
        row.colour = f"s{min(n, _COLOURS)}"
    return _drawn(first, counts, ordered)


def _drawn(first: datetime, counts: dict[int, Counter[str]], rows: list[Row]) -> Chart:
    top = _round(max(sum(one.values()) for one in counts.values()))
    columns = []
    for n, found in counts.items():
        column = Column(n * WIDTH, first + timedelta(minutes=n), sum(found.values()), found["\0dead"])
        y = HEIGHT
        for colour, jobs in [*((row.colour, found[row.plugin]) for row in rows), ("dead", column.dead)]:
            if jobs:
                height = HEIGHT * jobs / top
                y -= height
                column.blocks.append(Block(colour, round(y, 2), round(height, 2)))
        columns.append(column)
    return Chart(columns, rows, top, sum(row.ended for row in rows), sum(row.dead for row in rows))


def _round(most: int) -> int:
    """Return the next number that is easy to read: 1, 2 or 5 with noughts."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if most <= step * size:
                return step * size
        size *= 10
