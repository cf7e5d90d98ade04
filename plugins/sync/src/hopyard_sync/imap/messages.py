"""Reading the messages of a folder that is open, in batches. One that cannot be read costs itself."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from hopyard_sync.engine.run import Run
from hopyard_sync.imap import headers, store, syntax
from hopyard_sync.imap.answers import REFUSED
from hopyard_sync.imap.connection import Imap
from hopyard_sync.imap.store import Folder, Message
from hopyard_sync.settings import MailboxConnection

#: Messages, and octets of them, that are read and stored at once.
_BATCH: Final = 50
_BATCH_BYTES: Final = 8_000_000
_META: Final = "(UID FLAGS RFC822.SIZE INTERNALDATE)"

Items = dict[str, Any]
#: Why messages cannot be read, by UID.
Faults = dict[int, str]


class Messages:
    """Reads messages into the table, as many as one run may."""

    def __init__(self, run: Run, imap: Imap, settings: MailboxConnection) -> None:
        self._run = run
        self._imap = imap
        self._most = settings.max_message_bytes
        self._left = settings.max_messages

    async def read(
        self, folder: Folder, wanted: Collection[int], known: Mapping[int, tuple[str, bool]]
    ) -> bool:
        """Read messages; say whether all of them were. Those that were never tried come first."""
        highest = max(known, default=0)
        uids = sorted(wanted, key=lambda uid: (uid <= highest, uid))
        if left_over := len(uids) - self._left if len(uids) > self._left else 0:
            self._run.note(f"{folder.name}: {left_over} messages are left for the next run")
            uids = uids[: self._left]
        self._left -= len(uids)
        if self._run.dry_run:
            self._run.counts.added += sum(uid not in known for uid in uids)
            return not left_over
        faults: Faults = {}
        for start in range(0, len(uids), 4 * _BATCH):
            meta = await self._each(sorted(uids[start : start + 4 * _BATCH]), _META, 0, faults)
            for batch in _batches(meta, self._most):
                await self._store(folder, batch, meta, known, faults)
                self._run.progress(start, len(uids), folder.name[:200])
        await self._set_aside(folder, faults)
        return not faults and not left_over

    async def fetch(self, *words: str, octets: int = 0) -> dict[int, Items]:
        """Return the items of each message by its UID."""
        found: dict[int, Items] = {}
        for line in (await self._imap.command("UID", *words, octets=octets)).of("FETCH"):
            items = syntax.pairs(line[2]) if len(line) > 2 and isinstance(line[2], list) else {}
            uid = syntax.number(items.get("UID"))
            if uid:
                found.setdefault(uid, {}).update(items)
        return found

    async def _each(self, uids: Sequence[int], items: str, octets: int, faults: Faults) -> dict[int, Items]:
        """Fetch items of messages; where that is refused, those of halves of them, down to the one it is."""
        found: dict[int, Items] = {}
        waiting = [uids]
        while waiting:
            batch = waiting.pop()
            try:
                answered = await self.fetch("FETCH", syntax.as_set(batch), items, octets=octets)
            except REFUSED as error:
                half = len(batch) // 2
                if half:
                    waiting += [batch[half:], batch[:half]]
                else:
                    faults[batch[0]] = str(error)
                continue
            for uid in batch:
                if uid in answered:
                    found[uid] = answered[uid]
                else:
                    faults[uid] = "the server leaves it out of its answer"
        return found

    async def _store(
        self,
        folder: Folder,
        uids: Sequence[int],
        meta: Mapping[int, Items],
        known: Mapping[int, tuple[str, bool]],
        faults: Faults,
    ) -> None:
        octets = sum(_size(meta[uid], self._most) for uid in uids)
        bodies = await self._each(uids, f"(UID BODY.PEEK[]<0.{self._most}>)", octets, faults)
        messages = await asyncio.to_thread(self._made, bodies, meta, faults)
        async with self._run.transaction() as tx:
            await store.add(tx, self._run.name, folder, messages)
        for one in messages:
            if one.uid not in known:
                self._run.counts.added += 1
            elif known[one.uid] != (one.flags, one.cut):
                self._run.counts.changed += 1

    def _made(self, bodies: Mapping[int, Items], meta: Mapping[int, Items], faults: Faults) -> list[Message]:
        """Return messages as they are stored. All that comes from the server passes here."""
        made = []
        for uid, items in bodies.items():
            content = next((one for name, one in items.items() if name.startswith("BODY[]")), None)
            if not isinstance(content, bytes):
                faults[uid] = "the server does not give its content"
                continue
            try:
                flags = store.flags_text(meta[uid].get("FLAGS"))
                made.append(headers.message(uid, meta[uid], content, flags, self._most))
            except Exception as error:  # noqa: BLE001 - whatever one message is, the others go on
                faults[uid] = f"{type(error).__name__}: {error}"
        return made

    async def _set_aside(self, folder: Folder, faults: Faults) -> None:
        """Keep why messages could not be read; take back what is over of what was kept before."""
        found = {f"{folder.name} {uid}": reason for uid, reason in sorted(faults.items())}
        await self._run.set_aside(folder.name, [(what, reason, "") for what, reason in found.items()])
        async with self._run.transaction() as tx:
            kept = await store.aside(tx, self._run.name, folder.name)
            await self._run.taken(tx, folder.name, kept - {what[:500] for what in found})


def _size(items: Items, most: int) -> int:
    told = syntax.number(items.get("RFC822.SIZE"), syntax.MAX_MODSEQ)
    return most if told is None else min(most, told)


def _batches(meta: Mapping[int, Items], most: int) -> Iterable[list[int]]:
    """Yield messages in parts of so many, and so much."""
    batch: list[int] = []
    size = 0
    for uid in sorted(meta):
        length = _size(meta[uid], most)
        if batch and (len(batch) >= _BATCH or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(uid)
        size += length
    if batch:
        yield batch
