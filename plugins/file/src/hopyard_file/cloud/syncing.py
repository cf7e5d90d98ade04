"""A run: look at both sides, decide, carry over, and keep what both have then, file by file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hopyard import storage, trees
from hopyard.errors import (
    AuthenticationError,
    EgressRefused,
    InvalidInput,
    LeaseLost,
    LedgerUnavailable,
    ResourceError,
    TransientError,
)

from hopyard_file.cloud import state
from hopyard_file.cloud.conflicts import Conflict, settle
from hopyard_file.cloud.deciding import DELETIONS, Action, Known, Plan, Step, too_many
from hopyard_file.cloud.models import CloudReport
from hopyard_file.cloud.near import Changed, Near
from hopyard_file.cloud.pacing import Pace
from hopyard_file.cloud.planning import plan_of
from hopyard_file.cloud.settings import ConnectionSettings
from hopyard_file.cloud.sides import Far
from hopyard_file.cloud.transfers import Carrier, together
from hopyard_file.telling import Progress

if TYPE_CHECKING:
    from hopyard import Job

_BATCH: Final = 25
_HEARTBEAT: Final = state.LEASE.seconds / 5
_MOST_NOTES: Final = 100
#: So many files may fail before the run gives up: then it is not the files.
_MOST_FAILED: Final = 50


_ANEW: Final = (
    "the root or the remote is another than at the last sync: it begins anew, deletes nothing, and keeps "
    "both versions of what differs"
)


class Held(InvalidInput):
    """The run would do something that a person must agree to."""


@dataclass(slots=True)
class Run:
    """One run of a connection. `holder` has the lease."""

    name: str
    own: ConnectionSettings
    near: Near
    far: Far
    holder: str
    job: Job | None
    dry_run: bool
    force: bool
    sides: str
    """A digest of what the two sides are."""
    report: CloudReport = field(init=False)
    _equal: dict[str, Known] = field(default_factory=dict)
    _gone: list[str] = field(default_factory=list)
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    _transient: str | None = None
    _failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = CloudReport(connection=self.name, dry_run=self.dry_run)

    async def run(self) -> None:
        """Do it all. Raises `Held`, `LeaseLost`, and `TransientError` for files that may work later."""
        beating = asyncio.create_task(self._beat())
        try:
            known = await self._known()
            made, aside = await self._plan(known)
            self._guard(made)
            if self.dry_run:
                self._preview(made, aside)
                return
            await state.set_aside(self.name, self.holder, aside)
            await self._carry_out(made)
            if not any(step.action is Action.COMPARE and step.path in self._failures for step in made.steps):
                await state.keep_sides(self.name, self.holder, self.sides)
            if self._failures:
                await state.set_aside(self.name, self.holder, {**aside, **self._failures})
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
        if self._transient is not None:
            raise TransientError(f"{self.report.failed:,} files failed; the first: {self._transient}")

    async def _beat(self) -> None:
        """Keep the lease while a large file travels; a lease that is lost is seen by the next checkpoint."""
        while True:
            await asyncio.sleep(_HEARTBEAT)
            with suppress(LedgerUnavailable):
                async with storage.transaction() as tx:
                    await state.LEASE.renew(tx, self.name, self.holder)

    # --- looking and deciding

    async def _known(self) -> dict[str, Known]:
        """Return what both sides had at the last sync; nothing where that was of others."""
        standing = await state.standing_of_sides(self.name, self.sides)
        self.report.anew = standing != "same"
        if standing == "other":
            if not self.dry_run:
                await state.begin_anew(self.name, self.holder, self.sides)
            self.report.notes.append(_ANEW)
            return {}
        if standing == "same" and not self.dry_run:
            await state.keep_sides(self.name, self.holder, self.sides)
        return await state.known(self.name)

    async def _plan(self, known: dict[str, Known]) -> tuple[Plan, dict[str, str]]:
        self._say("looking at both sides")
        survey, there = await asyncio.gather(
            asyncio.to_thread(self.near.survey, self.own.max_files), self.far.listed(self.own.max_files)
        )
        if known and not survey.files:
            raise Held(self._empty("the directory here", len(known)))
        if known and not there:
            raise Held(self._empty("the other side", len(known)))
        made, aside = plan_of(self.own, known, survey, there)
        self.report.unchanged, self.report.left = made.unchanged, made.left
        self.report.set_aside = len(aside)
        return made, aside

    def _empty(self, side: str, files: int) -> str:
        return (
            f"{side} is empty, and had {files:,} files at the last sync. That is taken for a mistake, such "
            "as a disk that is not mounted. To begin anew with it as it is: "
            f"hopyard file cloud forget {self.name}"
        )

    def _guard(self, made: Plan) -> None:
        deletions = made.deletions()
        files = made.unchanged + made.left + sum(step.known is not None for step in made.steps)
        if not self.force and too_many(deletions, files, self.own.max_delete):
            raise Held(
                f"the run would delete {deletions:,} of {files:,} files, more than "
                f"{100 * self.own.max_delete:g} %, so nothing was changed. If that is right: "
                f"hopyard file cloud sync {self.name} --force"
            )

    def _preview(self, made: Plan, aside: dict[str, str]) -> None:
        for step in made.steps:
            self._note(step.path, step.action.value)
            self._count(step.action)
            size = step.here.size if step.action is Action.UP and step.here else 0
            size += step.there.size if step.action is Action.DOWN and step.there else 0
            self.report.bytes += size
        for path, reason in sorted(aside.items()):
            self._note(path, f"set aside: {reason}")

    # --- doing

    async def _carry_out(self, made: Plan) -> None:
        total = sum(max(s.here.size if s.here else 0, s.there.size if s.there else 0) for s in made.steps)
        progress = Progress(self.job, len(made.steps), total)

        def moved(count: int) -> None:
            self.report.bytes += count
            progress.step(bytes=count)

        carrier = Carrier(self.near, self.far, Pace(self.own.bandwidth), self.own.read_back, moved)

        async def work(steps: Iterator[Step]) -> None:
            for step in steps:
                await self._do(step, carrier)
                progress.step(files=1, what=trees.shown(step.path))

        try:
            for steps in self._in_turns(made):
                await together([work(steps) for _ in range(self.own.transfers)])
        finally:
            await asyncio.shield(self._save(0))

    def _in_turns(self, made: Plan) -> Iterator[Iterator[Step]]:
        """Yield the steps that may go together: deletions first, where they make room for others."""
        if not made.waiting:
            yield iter(made.steps)
            return
        deletions = [step for step in made.steps if step.action in DELETIONS]
        yield iter(deletions)
        failed = any(step.path in self._failures for step in deletions)
        rest = []
        for step in made.steps:
            if failed and step.path in made.waiting:
                self._fail(step.path, made.waiting[step.path])
            elif step.action not in DELETIONS:
                rest.append(step)
        yield iter(rest)

    async def _do(self, step: Step, carrier: Carrier) -> None:
        """Do one step; what goes wrong with the file is its own matter."""
        try:
            await self._act(step, carrier)
        except Changed as error:
            self._fail(step.path, str(error))
        except FileNotFoundError:
            self._fail(step.path, "it was removed meanwhile, or its name there begins or ends with a slash")
        except (AuthenticationError, EgressRefused, ResourceError, LeaseLost):
            raise
        except (TransientError, InvalidInput, OSError) as error:
            self._fail(step.path, str(error))
            if isinstance(error, TransientError):
                self._transient = self._transient or f"{trees.shown(step.path)}: {error}"
            if self.report.failed > _MOST_FAILED and self._transient:
                raise TransientError(f"too many files failed; the first: {self._transient}") from None
        await self._save(_BATCH)

    async def _act(self, step: Step, carrier: Carrier) -> None:
        path, here, there = step.path, step.here, step.there
        if step.action is Action.UP and here is not None:
            if await self._is_touched(step, carrier):
                return
            self._equal[path] = await carrier.up(path, here, there)
        elif step.action is Action.DOWN and there is not None:
            self._equal[path] = await carrier.down(path, here, there)
        elif step.action is Action.COMPARE and here is not None and there is not None:
            policy = "both" if self.report.anew else self.own.conflicts
            conflict = await settle(Conflict(path, here, there, self.own.direction, policy), carrier)
            self._equal |= conflict.equal
            self.report.uploaded += conflict.uploaded
            self.report.downloaded += conflict.downloaded
            self.report.conflicts += conflict.differed
            return
        elif step.action is Action.DELETE_HERE and here is not None:
            if await self.far.look(path) is not None:
                raise Changed("it is there again")
            await asyncio.to_thread(self.near.delete, path, here.stamp)
            self._gone.append(path)
        elif step.action is Action.DELETE_THERE and there is not None:
            if await asyncio.to_thread(self.near.look, path) is not None:
                raise Changed("it is here again")
            await carrier.delete_there(path, there)
            self._gone.append(path)
        else:
            self._gone.append(path)
        self._count(step.action)

    async def _is_touched(self, step: Step, carrier: Carrier) -> bool:
        """Say whether a file only looks changed: its times are others, its content is what both sides had."""
        known, here, there = step.known, step.here, step.there
        if known is None or here is None or there is None or there.stamp != known.there:
            return False
        if here.size != known.size:
            return False
        sums = await carrier.sums_here(step.path, here)
        if sums["sha256"] != known.sha256:
            return False
        self._equal[step.path] = Known(known.size, known.sha256, here.stamp, known.there)
        self.report.unchanged += 1
        return True

    async def _save(self, at_least: int) -> None:
        """Keep what was done, once it is at least so many files."""
        async with self._saving:
            if len(self._equal) + len(self._gone) < max(1, at_least):
                return
            equal, gone = self._equal, self._gone
            self._equal, self._gone = {}, []
            await state.checkpoint(self.name, self.holder, equal, gone)

    # --- telling

    def _count(self, action: Action) -> None:
        report = self.report
        report.uploaded += action is Action.UP
        report.downloaded += action is Action.DOWN
        report.deleted_here += action is Action.DELETE_HERE
        report.deleted_there += action is Action.DELETE_THERE

    def _fail(self, path: str, why: str) -> None:
        self.report.failed += 1
        self._failures[path] = why
        self._note(path, why)

    def _note(self, path: str, what: str) -> None:
        if len(self.report.notes) < _MOST_NOTES:
            self.report.notes.append(state.storable(f"{trees.shown(path)}: {what}")[:300])

    def _say(self, what: str) -> None:
        if self.job is not None:
            self.job.progress(0, None, what)
