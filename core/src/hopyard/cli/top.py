"""`hopyard top`: queues, running jobs and the latest failures in a terminal, kept up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from hopyard.cli._output import emit, json_option
from hopyard.cli._session import with_hopyard
from hopyard.cli._streams import stdout
from hopyard.display import printable
from hopyard.redaction import masked

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database
    from hopyard.ledger.read.counting import EndedCount, Latency, LiveCount
    from hopyard.ledger.read.summary import JobProgress, JobSummary

_SHOWN: Final = 10
_BAR: Final = 12


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger says at a moment."""

    at: datetime
    live: list[LiveCount]
    ended: list[EndedCount]
    latencies: list[Latency]
    paused: list[str]
    running: list[JobSummary]
    progress: dict[str, JobProgress]
    dead: list[JobSummary]
    workers: int


@click.command("top")
@click.option("--once", is_flag=True, help="Print it once, and end.")
@click.option("--every", type=click.FloatRange(0.25, 3600), default=1.0, show_default=True, help="Seconds.")
@json_option
def command(once: bool, every: float, as_json: bool) -> None:
    """Show queues, running jobs and the latest failures, kept up to date; Ctrl-C ends it."""
    if as_json or once or not stdout().isatty():
        seen = with_hopyard(look, diagnosis=True)
        emit(masked(asdict(seen)), as_json, lambda _: _print(seen))
        return
    try:
        with_hopyard(lambda hopyard: _follow(hopyard, every), diagnosis=True)
    except KeyboardInterrupt:
        return


async def look(hopyard: Hopyard) -> Seen:
    """Read what is shown."""
    from hopyard.ledger import queues
    from hopyard.ledger.read import counting, listing, summary, workers
    from hopyard.ledger.values import utcnow
    from hopyard.specs import State

    database: Database = hopyard.client().database
    living = await workers.living(database)
    running = await workers.running(database, [one.id for one in living])
    progress = await summary.progress(database, [job.id for job in running[:_SHOWN]])
    dead = await listing.page(database, listing.JobFilter((State.DEAD,)), limit=5)
    return Seen(
        utcnow(),
        await counting.live(database),
        await counting.ended(database, minutes=5),
        await counting.latencies(database),
        [name for name, _, _ in await queues.paused(database)],
        running,
        {one.job: one for one in progress},
        dead.jobs,
        len(living),
    )


async def _follow(hopyard: Hopyard, every: float) -> None:
    from rich.live import Live

    from hopyard.errors import LedgerUnavailable

    with Live(_screen(await look(hopyard)), screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every)
            try:
                live.update(_screen(await look(hopyard)), refresh=True)
            except LedgerUnavailable as error:
                live.update(f"{printable(str(error))}; the next look in {every:g} s", refresh=True)


def _print(seen: Seen) -> None:
    from rich.console import Console

    Console(file=stdout(), highlight=False).print(_screen(seen))


def _screen(seen: Seen) -> Group:
    from rich.console import Group

    parts: list[RenderableType] = [_head(seen), _queues(seen)]
    if seen.running:
        parts.append(_running(seen))
    if seen.dead:
        parts.append(_dead(seen.dead))
    return Group(*parts)


def _head(seen: Seen) -> str:
    states: dict[str, int] = {}
    for one in seen.live:
        states[one.state.label] = states.get(one.state.label, 0) + one.jobs
    told = "  ".join(f"{name} {number:,}" for name, number in states.items()) or "no live jobs"
    return (
        f"[bold]hopyard top[/]  {seen.at:%H:%M:%S} UTC  workers {seen.workers}  {told}  "
        f"ended in 5 min {sum(one.jobs for one in seen.ended):,}"
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for n, column in enumerate(columns):
        last = n == len(columns) - 1
        made.add_column(column, no_wrap=True, overflow="ellipsis", min_width=None if last else len(column))
    for row in rows:
        made.add_row(*(Text(printable(str(cell))) for cell in row))
    return made


def _queues(seen: Seen) -> RenderableType:
    found: dict[str, dict[str, Any]] = {}
    for count in seen.live:
        one = found.setdefault(count.queue, {})
        one[count.state.label] = one.get(count.state.label, 0) + count.jobs
    for ended in seen.ended:
        one = found.setdefault(ended.queue, {})
        one["ended"] = one.get("ended", 0) + ended.jobs
    for latency in seen.latencies:
        found.setdefault(latency.queue, {})["waited"] = f"{latency.waited_p95:.2f}"
    rows = [
        (
            f"{name} (paused)" if name in seen.paused else name,
            *(one.get(key, "") for key in ("queued", "running", "retrying", "scheduled", "ended", "waited")),
        )
        for name, one in sorted(found.items())
    ]
    columns = ("queue", "queued", "running", "retrying", "scheduled", "in 5 min", "p95 s")
    return _table("Queues", columns, rows)


def _running(seen: Seen) -> RenderableType:
    rows = []
    for job in seen.running[:_SHOWN]:
        progress = seen.progress.get(job.id)
        began = job.started or job.created
        rows.append(
            (
                job.id[-12:],
                job.task,
                f"{(seen.at - began).total_seconds():.0f}",
                _bar(progress.percentage) if progress else "",
                progress.message if progress else "",
            )
        )
    return _table("Running", ("id", "task", "s", "progress", "message"), rows)


def _bar(percentage: float | None) -> str:
    if percentage is None:
        return ""
    full = round(_BAR * percentage / 100)
    return f"{'█' * full}{'░' * (_BAR - full)} {percentage:.0f} %"


def _dead(jobs: Sequence[JobSummary]) -> RenderableType:
    rows = [(job.id[-12:], job.task, f"{job.finished:%H:%M:%S}", job.error or "") for job in jobs]
    return _table("Ended dead", ("id", "task", "at (UTC)", "error"), rows)
