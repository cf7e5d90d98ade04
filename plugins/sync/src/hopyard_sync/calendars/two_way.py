"""Syncing a calendar both ways: look at both sides, plan, write in batches, remember; again where it moved.

A run may be ended at any moment. What it wrote and did not remember is found by the next one as an item that
both sides changed to the same, and is remembered then. A write is made only where its resource is as the plan
saw it (If-Match, If-None-Match); else both sides are looked at anew. What a side does not tell clearly is no
deletion: such an item stays as it is on both sides, and is set aside with the reason.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hopyard import storage
from hopyard.storage import Transaction

from hopyard_sync.calendars import lines, merge
from hopyard_sync.calendars.looking import Look, look
from hopyard_sync.calendars.merge import Action, Agree, Copy, Forget, Fork, Pair, Remove, Version, Wait
from hopyard_sync.calendars.sides import Side, Write, Written
from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState
from hopyard_sync.settings.calendars import CalendarConnection

#: Actions whose outcomes are remembered in one transaction.
_BATCH: Final = 25
#: How often both sides are looked at in one run, where they change meanwhile.
_ROUNDS: Final = 3
_WRITING: Final = "writing"


class TwoWay:
    """One run of a calendar with two sides. `sources` stand for the places that they are (`stream.mark`)."""

    def __init__(self, run: Run, a: Side, b: Side, sources: Mapping[merge.Side, str]) -> None:
        self._run = run
        self._settings: CalendarConnection = run.options
        self._sides: dict[merge.Side, Side] = {"a": a, "b": b}
        self._sources = sources
        self._aside: defaultdict[str, set[str]] = defaultdict(set)
        self._removed: Counter[merge.Side] = Counter()
        self._attempts: Counter[str] = Counter()
        self._again: dict[str, str] = {}

    async def sync(self) -> None:
        """Make both sides the same. Raises `TooManyDeletions` before anything is changed."""
        streams, pairs = await self._begin()
        for round_ in range(_ROUNDS):
            self._again = {}
            pairs = pairs if round_ == 0 else await self._pairs()
            looks = {side: await self._look(side, streams[side], pairs) for side in self._sides}
            held = looks["a"].held | looks["b"].held
            actions = merge.plan(pairs, looks["a"].found, looks["b"].found, self._settings.conflicts, held)
            self._check(actions, looks)
            if self._run.dry_run:
                self._count_all(actions)
                return
            await self._carry_out(actions)
            if not self._again:
                await self._finish(looks, streams)
                return
        self._run.note("items changed while they were synced: the next run goes on")
        await self._set_aside(_WRITING, [(uid, reason, "") for uid, reason in self._again.items()])

    async def _begin(self) -> tuple[dict[merge.Side, StreamState], dict[str, Pair]]:
        """Return where both sides stand, and what they had at the last sync.

        Where a side is another calendar than before, nothing that is known of the old one holds: then it
        begins as at first, when nothing is deleted.
        """
        streams = {side: await self._run.stream(side) for side in self._sides}
        moved = any(one.source not in (None, self._sources[side]) for side, one in streams.items())
        if all(one.source == self._sources[side] for side, one in streams.items()):
            return streams, await self._pairs()
        for side, one in streams.items():
            streams[side] = replace(one.anew() if moved else one, source=self._sources[side])
        if moved:
            self._run.note("it is another calendar than before: it is synced as at first, nothing is deleted")
        if not self._run.dry_run:
            async with self._run.transaction() as tx:
                if moved:
                    await tx.execute("DELETE FROM sync_pair WHERE connection = $1", self._run.name)
                for one in streams.values():
                    await one.save(tx)
        return streams, {} if moved else await self._pairs()

    # --- looking

    async def _pairs(self) -> dict[str, Pair]:
        rows = await storage.fetch(
            "SELECT uid, a_name, a_etag, b_name, b_etag, mark FROM sync_pair WHERE connection = $1",
            self._run.name,
        )
        return {
            row["uid"]: Pair(
                row["uid"],
                Version(row["a_name"], row["a_etag"]),
                Version(row["b_name"], row["b_etag"]),
                row["mark"],
            )
            for row in rows
        }

    async def _look(self, side: merge.Side, stream: StreamState, pairs: Mapping[str, Pair]) -> Look:
        known = {one.name: uid for uid, pair in pairs.items() for one in [_of(pair, side)]}
        etags = {one.name: one.etag for pair in pairs.values() for one in [_of(pair, side)]}
        token = None if self._run.full or not isinstance(stream.cursor, str) else stream.cursor
        found = await look(self._run, side, self._sides[side], known, etags, token)
        await self._set_aside(side, found.unclear)
        return found

    async def _set_aside(self, stream: str, found: Sequence[tuple[str, str, str]]) -> None:
        """Set aside what was not in this run before. While there is such, each run looks at everything."""
        new = {one[0]: one for one in found if one[0] not in self._aside[stream]}
        self._aside[stream] |= new.keys()
        await self._run.set_aside(stream, new.values())

    def _check(self, actions: Sequence[Action], looks: Mapping[merge.Side, Look]) -> None:
        for side, seen in looks.items():
            planned = sum(isinstance(one, Remove) and one.of == side for one in actions)
            before = self._removed[side]  # in rounds before this one
            self._run.check_deletions(
                f"on side {side}", before + planned, before + seen.count, self._settings.most_deletions
            )

    def _count_all(self, actions: Sequence[Action]) -> None:
        """Count what a real run would do."""
        for one in actions:
            self._count(one)
            if isinstance(one, Fork):
                self._run.counts.changed += 1
                self._run.counts.conflicts += 1

    def _count(self, action: Action) -> None:
        counts = self._run.counts
        if isinstance(action, Fork) or (isinstance(action, Copy) and action.over is None):
            counts.added += 1
        elif isinstance(action, Copy):
            counts.changed += 1
        elif isinstance(action, Remove):
            counts.removed += 1
        if isinstance(action, Copy | Remove) and action.clash:
            counts.conflicts += 1

    # --- writing

    async def _carry_out(self, actions: Sequence[Action]) -> None:
        for start in range(0, len(actions), _BATCH):
            batch = actions[start : start + _BATCH]
            pairs = [Pair(one.uid, one.a, one.b, one.mark) for one in batch if isinstance(one, Agree)]
            gone = [one.uid for one in batch if isinstance(one, Forget)]
            for side in self._sides:
                await self._write(side, [one for one in batch if _target(one) == side], pairs, gone)
            pairs += await self._fork([one for one in batch if isinstance(one, Fork)])
            for one in batch:
                if isinstance(one, Wait):
                    self._again[one.uid] = "its other version is not on both sides as yet"
            await self._remember(pairs, gone)
            self._run.progress(start, len(actions), "writing")

    async def _write(
        self, side: merge.Side, actions: Sequence[Action], pairs: list[Pair], gone: list[str]
    ) -> None:
        """Write to a side; add what both sides have then to `pairs`, and what they have lost to `gone`."""
        if not actions:
            return
        written = await self._sides[side].write([self._change(one) for one in actions])
        for one, outcome in zip(actions, written, strict=True):
            if not await self._went_well(one.uid, one.uid, outcome):
                continue
            self._count(one)
            if isinstance(one, Copy):
                pairs.append(_paired(one, outcome))
            else:
                gone.append(one.uid)
                self._removed[side] += 1

    async def _fork(self, forks: Sequence[Fork]) -> list[Pair]:
        """Keep versions on both sides. What they are kept from is written after another look."""
        if not forks:
            return []
        texts = await asyncio.to_thread(lambda: [lines.with_uid(one.text, one.kept) for one in forks])
        marks = await asyncio.to_thread(lambda: [lines.look(text).mark for text in texts])
        writes = [
            Write(one.kept, None, None, text, self._attempts[one.kept])
            for one, text in zip(forks, texts, strict=True)
        ]
        on_a = await self._sides["a"].write(writes)
        well = [await self._went_well(one.uid, one.kept, a) for one, a in zip(forks, on_a, strict=True)]
        left = [n for n, is_well in enumerate(well) if is_well]
        on_b = await self._sides["b"].write([writes[n] for n in left]) if left else []
        pairs: list[Pair] = []
        for n, b in zip(left, on_b, strict=True):
            one, a = forks[n], on_a[n]
            if (
                await self._went_well(one.uid, one.kept, b)
                and a.version is not None
                and b.version is not None
            ):
                pairs.append(Pair(one.kept, a.version, b.version, marks[n]))
                self._count(one)
                self._again[one.uid] = "its other version was kept only now"
        return pairs

    async def _went_well(self, uid: str, written: str, outcome: Written) -> bool:
        """Say whether a write of the item `written` was made; note why that of `uid` was not."""
        if outcome.refused is not None:
            await self._set_aside(_WRITING, [(uid, outcome.refused, "")])
        elif outcome.stale is not None:
            self._again[uid] = outcome.stale
            self._attempts[written] += 1
        return outcome.refused is None and outcome.stale is None

    def _change(self, action: Action) -> Write:
        if isinstance(action, Remove):
            return Write(action.uid, action.there.name, action.there.etag, None)
        assert isinstance(action, Copy)  # noqa: S101 - others have no target
        over = action.over
        name, etag = (over.name, over.etag) if over is not None else (None, None)
        return Write(action.uid, name, etag, action.source.text, self._attempts[action.uid])

    async def _remember(self, pairs: Iterable[Pair], gone: Sequence[str]) -> None:
        kept = [
            (self._run.name, one.uid, one.a.name, one.a.etag, one.b.name, one.b.etag, one.mark)
            for one in pairs
        ]
        if not kept and not gone:
            return
        async with self._run.transaction() as tx:
            await tx.execute_many(
                "INSERT INTO sync_pair (connection, uid, a_name, a_etag, b_name, b_etag, mark) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connection, uid) DO UPDATE SET "
                "a_name = excluded.a_name, a_etag = excluded.a_etag, b_name = excluded.b_name, "
                "b_etag = excluded.b_etag, mark = excluded.mark",
                kept,
            )
            await tx.execute(
                f"DELETE FROM sync_pair WHERE connection = $1 AND uid {tx.sql.texts('$2')}",
                self._run.name,
                storage.listed(gone),
            )

    async def _finish(
        self, looks: Mapping[merge.Side, Look], streams: Mapping[merge.Side, StreamState]
    ) -> None:
        """Have the next run begin where this one looked, unless something is left to be tried again."""
        everything = not any(self._aside.values())
        async with self._run.transaction() as tx:
            await self._over(tx)
            for side, seen in looks.items():
                await streams[side].done(seen.token if everything else None).save(tx, completed=True)

    async def _over(self, tx: Transaction) -> None:
        """Take back what was set aside by earlier runs and is well now, or gone."""
        rows = await tx.fetch("SELECT stream, what FROM sync_set_aside WHERE connection = $1", self._run.name)
        for stream in (*self._sides, _WRITING):
            still = {what[:500] for what in self._aside[stream]}
            names = [row["what"] for row in rows if row["stream"] == stream and row["what"] not in still]
            await self._run.taken(tx, stream, names)


def _of(pair: Pair, side: merge.Side) -> Version:
    return pair.a if side == "a" else pair.b


def _target(action: Action) -> merge.Side | None:
    if isinstance(action, Copy):
        return action.to
    return action.of if isinstance(action, Remove) else None


def _paired(action: Copy, outcome: Written) -> Pair:
    assert outcome.version is not None  # noqa: S101 - a copy leaves something there
    source = Version(action.source.name, action.source.etag)
    mark = action.source.content.mark if action.source.content is not None else None
    if action.to == "b":
        return Pair(action.uid, source, outcome.version, mark)
    return Pair(action.uid, outcome.version, source, mark)
