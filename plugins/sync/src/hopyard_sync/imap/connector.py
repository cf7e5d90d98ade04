"""Reading a mailbox: new messages by UID, flags by CONDSTORE where it is offered, deletions by counting.

Folders are opened read-only (EXAMINE), and bodies are peeked at: reading a mailbox changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final

from hopyard.errors import InvalidInput

from hopyard_sync.engine.run import Run
from hopyard_sync.imap import headers, store, syntax
from hopyard_sync.imap.connection import Answer, Imap
from hopyard_sync.imap.store import Folder
from hopyard_sync.settings import MailboxConnection

#: Messages, and octets of them, that are read and stored at once.
_BATCH: Final = 50
_BATCH_BYTES: Final = 8_000_000
_META: Final = "(UID FLAGS RFC822.SIZE INTERNALDATE)"


async def sync(run: Run) -> None:
    """Read all folders that the settings name."""
    settings: MailboxConnection = run.options
    async with Imap(run.name, settings) as imap:
        try:
            await _Mailbox(run, imap, settings).sync()
        finally:
            run.counts.requests += imap.commands


async def check(run: Run) -> None:
    """Log in."""
    settings: MailboxConnection = run.options
    async with Imap(run.name, settings):
        return


class _Mailbox:
    def __init__(self, run: Run, imap: Imap, settings: MailboxConnection) -> None:
        self._run = run
        self._imap = imap
        self._settings = settings
        self._left = settings.max_messages

    async def sync(self) -> None:
        there = await self._list()
        known = await store.folders(self._run.name)
        for n, (name, wire) in enumerate(there.items()):
            self._run.progress(n, len(there), name[:200])
            await self._run.keep()
            before = None if self._run.full else known.get(name)
            await self._folder(name, wire, before)
        await self._gone([name for name in known if name not in there])

    async def _list(self) -> dict[str, bytes]:
        """Return the folders that are wanted: by name, as the server calls them."""
        found = {}
        for line in (await self._imap.command("LIST", b"", b"*")).of("LIST"):
            if len(line) < 4:
                raise InvalidInput(f"IMAP: found {str(line)[:100]}, expected a folder")
            wire = line[3] if isinstance(line[3], bytes) else str(line[3]).encode()
            attributes = [str(one).lower() for one in line[1]] if isinstance(line[1], list) else []
            name = syntax.folder_name(wire)
            if not {"\\noselect", "\\nonexistent"} & {*attributes} and _wanted(name, self._settings.folders):
                found[name] = wire
        return found

    async def _folder(self, name: str, wire: bytes, before: Folder | None) -> None:
        condstore = "CONDSTORE" in self._imap.capabilities
        opened = await self._imap.command("EXAMINE", wire, *(["(CONDSTORE)"] if condstore else []))
        uidvalidity, exists = opened.said("UIDVALIDITY"), _exists(opened)
        if uidvalidity is None:
            raise InvalidInput(f"{name}: found no UIDVALIDITY, expected a folder whose messages have UIDs")
        if before is not None and before.uidvalidity != uidvalidity:
            self._run.note(f"{name}: its messages have new numbers, so it is read again")
            await self._drop(before.name)
            before = None
        folder = before or Folder(name, uidvalidity)
        known = await store.flags(self._run.name, folder)
        # New flags of messages that were known; those that come now bring theirs.
        await self._flags(folder, known, condstore)
        folder = await self._new(folder, set(known))
        await self._deleted(folder, exists)
        modseq = opened.said("HIGHESTMODSEQ") if condstore else None
        if not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.save_folder(tx, self._run.name, replace(folder, modseq=modseq))

    async def _flags(self, folder: Folder, known: dict[int, str], condstore: bool) -> None:
        if not known:
            return
        words = ["FETCH", f"1:{max(known)}", "(UID FLAGS)"]
        if condstore and folder.modseq is not None:
            words.append(f"(CHANGEDSINCE {folder.modseq})")
        found = {uid: store.flags_text(items.get("FLAGS")) for uid, items in await self._fetch(*words)}
        other = {uid: text for uid, text in found.items() if uid in known and known[uid] != text}
        self._run.counts.changed += len(other)
        if other and not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.set_flags(tx, self._run.name, folder, other)

    async def _new(self, folder: Folder, known: set[int]) -> Folder:
        """Read the messages behind the last UID, in batches that are stored with it."""
        uids = [one for one in await self._search(f"UID {folder.last_uid + 1}:*") if one > folder.last_uid]
        self._run.counts.added += sum(uid not in known for uid in uids[: self._left])
        if len(uids) > self._left:
            self._run.note(f"{folder.name}: {len(uids) - self._left} messages are left for the next run")
            uids = uids[: self._left]
        self._left -= len(uids)
        if self._run.dry_run:
            return folder
        for start in range(0, len(uids), 4 * _BATCH):
            meta = dict(await self._fetch("FETCH", syntax.as_set(uids[start : start + 4 * _BATCH]), _META))
            for batch in _batches(sorted(meta), meta, self._settings.max_message_bytes):
                folder = await self._take(folder, batch, meta)
        return folder

    async def _take(self, folder: Folder, uids: Sequence[int], meta: dict[int, dict[str, Any]]) -> Folder:
        most = self._settings.max_message_bytes
        bodies = await self._fetch("FETCH", syntax.as_set(uids), f"(UID BODY.PEEK[]<0.{most}>)")
        messages, refused = [], []
        for uid, items in bodies:
            content = next((one for name, one in items.items() if name.startswith("BODY[]")), None)
            flags = store.flags_text(meta.get(uid, {}).get("FLAGS"))
            if isinstance(content, bytes):
                messages.append(headers.message(uid, meta.get(uid, {}), content, flags, most))
            else:
                refused.append((f"{folder.name} {uid}", "the server does not give its content", ""))
        await self._run.set_aside(folder.name, refused)
        folder = replace(folder, last_uid=max(uids))
        async with self._run.transaction() as tx:
            await store.add(tx, self._run.name, folder, messages)
            await store.save_folder(tx, self._run.name, folder)
        return folder

    async def _deleted(self, folder: Folder, exists: int) -> None:
        """Mark what is in the folder no more. As long as the numbers agree, nothing is."""
        stored = await store.flags(self._run.name, folder)
        if len(stored) == exists and not self._run.dry_run:
            return
        there = set(await self._search("ALL"))
        gone = [uid for uid in stored if uid not in there]
        self._run.counts.removed += len(gone)
        if gone and not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.mark_gone(tx, self._run.name, folder, gone)

    async def _gone(self, names: Iterable[str]) -> None:
        for name in names:
            self._run.note(f"{name}: the folder is gone, or no longer wanted")
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        if self._run.dry_run:
            return
        async with self._run.transaction() as tx:
            self._run.counts.removed += await store.drop_folder(tx, self._run.name, name)

    async def _fetch(self, *words: str) -> list[tuple[int, dict[str, Any]]]:
        """Return the items of each message by its UID."""
        found = []
        for line in (await self._imap.command("UID", *words)).of("FETCH"):
            items = syntax.pairs(line[2]) if len(line) > 2 and isinstance(line[2], list) else {}
            uid = str(items.get("UID", ""))
            if uid.isdecimal():
                found.append((int(uid), items))
        return found

    async def _search(self, what: str) -> list[int]:
        answer = await self._imap.command("UID", "SEARCH", what)
        words = [str(one) for line in answer.of("SEARCH") for one in line[1:]]
        return sorted({int(one) for one in words if one.isdecimal()})


def _batches(uids: Sequence[int], meta: dict[int, dict[str, Any]], most: int) -> Iterable[Sequence[int]]:
    """Yield messages in parts of so many, and so much."""
    batch: list[int] = []
    size = 0
    for uid in uids:
        told = str(meta[uid].get("RFC822.SIZE", ""))
        length = min(most, int(told) if told.isdecimal() else most)
        if batch and (len(batch) >= _BATCH or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(uid)
        size += length
    if batch:
        yield batch


def _exists(opened: Answer) -> int:
    for one in opened.of("EXISTS"):
        if str(one[0]).isdecimal():
            return int(one[0])
    raise InvalidInput("IMAP: found a folder that does not say how many messages it has")


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a folder is to be read: named by a pattern, and not taken out by one with `!`."""
    out = any(fnmatchcase(name, one[1:]) for one in patterns if one.startswith("!"))
    named = [one for one in patterns if not one.startswith("!")] or ["*"]
    return not out and any(fnmatchcase(name, one) for one in named)
