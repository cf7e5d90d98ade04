"""Syncing a calendar both ways: look at both sides, plan, write in batches, remember; again where it moved.

A run may be ended at any moment. What it wrote and did not remember is found by the next one as an item that
both sides changed to the same, and is remembered then. A write is made only where its resource is as the plan
saw it (If-Match, If-None-Match); else both sides are looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hopyard import storage
from hopyard.errors import InvalidInput

from hopyard_sync.calendars import lines, merge
from hopyard_sync.calendars.merge import Action, Agree, Copy, Forget, Fork, Pair, Plan, Remove, Version
from hopyard_sync.calendars.sides import Listing, Side, Write, Written
from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState
from hopyard_sync.settings.calendars import Conflicts

#: Actions whose outcomes are remembered in one transaction.
_BATCH: Final = 25
#: How often both sides are looked at in one run, where they change meanwhile.
_ROUNDS: Final = 3


class TwoWay:
    """One run of a calendar with two sides."""

    def __init__(self, run: Run, a: Side, b: Side, conflicts: Conflicts, most_deletions: float) -> None:
        self._run = run
        self._sides: dict[merge.Side, Side] = {"a": a, "b": b}
        self._conflicts = conflicts
        self._most_deletions = most_deletions
        self._refused: set[str] = set()
        self._stale = False

    async def sync(self) -> None:
        """Make both sides the same. Raises `TooManyDeletions` before anything is changed."""
        for _ in range(_ROUNDS):
            self._stale = False
            streams = {side: await self._run.stream(side) for side in self._sides}
            pairs = await self._pairs()
            listings = {side: await self._listing(side, streams[side], pairs) for side in self._sides}
            versions = {side: await self._versions(side, listings[side], pairs) for side in self._sides}
            made = merge.plan(pairs, versions["a"], versions["b"], self._conflicts)
            self._check(made, pairs, versions)
            self._count(made, pairs)
            if self._run.dry_run:
                return
            await self._carry_out(made)
            if not self._stale:
                await self._remember_tokens(listings, streams)
                return
        self._run.note("items changed while they were synced: the next run goes on")

    # --- looking

    async def _pairs(self) -> dict[str, Pair]:
        rows = await storage.fetch(
            "SELECT uid, a_name, a_etag, b_name, b_etag FROM sync_pair WHERE connection = $1", self._run.name
        )
        return {
            row["uid"]: Pair(
                row["uid"], Version(row["a_name"], row["a_etag"]), Version(row["b_name"], row["b_etag"])
            )
            for row in rows
        }

    async def _listing(self, side: merge.Side, stream: StreamState, pairs: Mapping[str, Pair]) -> Listing:
        known = {getattr(pair, side).name: getattr(pair, side).etag for pair in pairs.values()}
        token = None if self._run.full or not isinstance(stream.cursor, str) else stream.cursor
        return await self._sides[side].listing(known, token)

    async def _versions(
        self, side: merge.Side, listing: Listing, pairs: Mapping[str, Pair]
    ) -> dict[str, Version]:
        """Return a side's items by UID; what is new or changed has been read."""
        known = {getattr(pair, side).name: pair for pair in pairs.values()}
        found: dict[str, Version] = {}
        unread = []
        for name, etag in listing.etags.items():
            pair = known.get(name)
            if pair is not None and getattr(pair, side).etag == etag:
                found[pair.uid] = Version(name, etag)
            else:
                unread.append(name)
        refused: list[tuple[str, str, str]] = []
        for start in range(0, len(unread), _BATCH):
            read = await self._sides[side].read(unread[start : start + _BATCH])
            for name, version in read.items():
                self._take(name, version, found, refused)
            self._run.progress(start, len(unread), f"reading side {side}")
            await self._run.keep()
        new = [one for one in refused if one[0] not in self._refused]
        self._refused |= {one[0] for one in new}
        await self._run.set_aside(side, new)
        # The other side's copy of what cannot be read stays as it is: it has not been deleted.
        unreadable = {one[0] for one in refused}
        for name, pair in known.items():
            if name in unreadable:
                found.setdefault(pair.uid, getattr(pair, side))
        return found

    def _take(
        self, name: str, version: Version, found: dict[str, Version], refused: list[tuple[str, str, str]]
    ) -> None:
        text = version.text or ""
        try:
            uid = lines.uid_of(text)
            if uid in found:
                raise InvalidInput(f"the UID {uid[:100]} is that of another resource too")
        except InvalidInput as error:
            refused.append((name, str(error), text[:2000]))
        else:
            found[uid] = version

    def _check(
        self, made: Plan, pairs: Mapping[str, Pair], versions: Mapping[merge.Side, Mapping[str, Version]]
    ) -> None:
        removed = merge.removals(made)
        for side in self._sides:
            self._run.check_deletions(f"on side {side}", removed[side], len(pairs), self._most_deletions)

    def _count(self, made: Plan, pairs: Mapping[str, Pair]) -> None:
        counts = self._run.counts
        counts.conflicts += made.conflicts
        for one in made.actions:
            if isinstance(one, Fork) or (isinstance(one, Copy) and one.over is None):
                counts.added += 1
            elif isinstance(one, Copy):
                counts.changed += 1
            elif isinstance(one, Remove):
                counts.removed += 1

    # --- writing

    async def _carry_out(self, made: Plan) -> None:
        total = len(made.actions)
        # Forks come first: a copy may replace the version that they keep only once they are on both sides.
        forks = [one for one in made.actions if isinstance(one, Fork)]
        others = [one for one in made.actions if not isinstance(one, Fork)]
        for start in range(0, len(forks), _BATCH):
            await self._fork(forks[start : start + _BATCH])
        for start in range(0, len(others), _BATCH):
            await self._batch(others[start : start + _BATCH])
            self._run.progress(start, total, "writing")

    async def _fork(self, forks: Sequence[Fork]) -> None:
        texts = [lines.with_uid(one.text, one.uid) for one in forks]
        writes = [Write(one.uid, None, None, text) for one, text in zip(forks, texts, strict=True)]
        a = await self._sides["a"].write(writes)
        b = await self._sides["b"].write(writes)
        remembered = [
            Pair(one.uid, first.version, second.version)
            for one, first, second in zip(forks, a, b, strict=True)
            if first.version is not None and second.version is not None
        ]
        await self._remember(remembered, [])
        # What is there already was made by a run that died: the next look finds that both sides agree.
        self._stale = self._stale or any(one.stale for one in (*a, *b))
        for outcome in (*a, *b):
            if outcome.refused:
                raise InvalidInput(
                    f"{self._run.name}: a version cannot be kept beside the other: {outcome.refused}"
                )

    async def _batch(self, actions: Sequence[Action]) -> None:
        pairs = [Pair(one.uid, one.a, one.b) for one in actions if isinstance(one, Agree)]
        gone = [one.uid for one in actions if isinstance(one, Forget)]
        refused: list[tuple[str, str, str]] = []
        for side in self._sides:
            ours = [one for one in actions if _target(one) == side]
            if not ours:
                continue
            written = await self._sides[side].write([_write(one) for one in ours])
            for one, outcome in zip(ours, written, strict=True):
                if outcome.refused is not None:
                    refused.append((one.uid, outcome.refused, ""))
                elif outcome.stale:
                    self._stale = True
                elif isinstance(one, Remove):
                    gone.append(one.uid)
                elif isinstance(one, Copy):
                    pairs.append(_paired(one, outcome))
        await self._remember(pairs, gone)
        if refused:
            await self._run.set_aside("writing", refused)
            self._refused |= {uid for uid, _, _ in refused}

    async def _remember(self, pairs: Iterable[Pair], gone: Sequence[str]) -> None:
        kept = [(self._run.name, one.uid, one.a.name, one.a.etag, one.b.name, one.b.etag) for one in pairs]
        if not kept and not gone:
            return
        async with self._run.transaction() as tx:
            await tx.execute_many(
                "INSERT INTO sync_pair (connection, uid, a_name, a_etag, b_name, b_etag) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (connection, uid) DO UPDATE SET "
                "a_name = excluded.a_name, a_etag = excluded.a_etag, b_name = excluded.b_name, "
                "b_etag = excluded.b_etag",
                kept,
            )
            await tx.execute(
                f"DELETE FROM sync_pair WHERE connection = $1 AND uid {tx.sql.texts('$2')}",
                self._run.name,
                storage.listed(gone),
            )

    async def _remember_tokens(
        self, listings: Mapping[merge.Side, Listing], streams: Mapping[merge.Side, StreamState]
    ) -> None:
        """Have the next run begin where this one looked, unless something is left to be tried again."""
        async with self._run.transaction() as tx:
            for side, listing in listings.items():
                token = None if self._refused else listing.token
                await streams[side].done(token).save(tx, completed=True)


def _target(action: Action) -> merge.Side | None:
    if isinstance(action, Copy):
        return action.to
    return action.of if isinstance(action, Remove) else None


def _write(action: Action) -> Write:
    if isinstance(action, Remove):
        return Write(action.uid, action.there.name, action.there.etag, None)
    assert isinstance(action, Copy)  # noqa: S101 - others have no target
    over = action.over
    return Write(action.uid, over.name if over else None, over.etag if over else None, action.source.text)


def _paired(action: Copy, outcome: Written) -> Pair:
    assert outcome.version is not None  # noqa: S101 - a copy leaves something there
    source = Version(action.source.name, action.source.etag)
    if action.to == "b":
        return Pair(action.uid, source, outcome.version)
    return Pair(action.uid, outcome.version, source)
