"""Reading a mailbox: what the server has and the table has not, flags by CONDSTORE where it is offered.

A folder is compared as a whole: messages that the server has and that are not stored are read, whatever the
reason why they are not; stored ones that it has no more are gone. So what one run could not read, the next
one reads. Folders are opened read-only (EXAMINE), and bodies are peeked at: reading a mailbox changes nothing
in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from hopyard.errors import InvalidInput

from hopyard_sync.engine import stream
from hopyard_sync.engine.run import Run
from hopyard_sync.imap import store, syntax
from hopyard_sync.imap.answers import REFUSED, Answer, Refused
from hopyard_sync.imap.connection import Imap
from hopyard_sync.imap.messages import Messages
from hopyard_sync.imap.store import Folder
from hopyard_sync.settings import MailboxConnection

_FOLDERS: Final = "folders"
#: The longest name of a folder, in octets: an index of a database has to hold it.
_MAX_NAME: Final = 1000
#: Messages whose flags are asked for at once.
_FLAGS_AT_ONCE: Final = 20_000


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
        self._messages = Messages(run, imap, settings)
        self._aside: set[str] = set()
        self._listed = True

    async def sync(self) -> None:
        await self._begin()
        there = await self._list()
        known = await store.folders(self._run.name)
        for n, (name, wire) in enumerate(there.items()):
            self._run.progress(n, len(there), name[:200])
            await self._run.keep()
            try:
                await self._folder(name, wire, None if self._run.full else known.get(name))
            except REFUSED as error:
                await self._set_aside(name, str(error))
        if not self._listed:
            self._run.note("the list of folders cannot be read in full: none is taken for gone")
        else:
            await self._gone([name for name in known if name not in there])
        await self._over()

    async def _begin(self) -> None:
        """Have what is known of another account than this one marked as gone: its UIDs say nothing here."""
        source = stream.mark(self._settings.host, self._settings.user)
        state = await self._run.stream("mailbox")
        if self._run.dry_run or state.source == source:
            return
        known = await store.folders(self._run.name) if state.source is not None else {}
        if known:
            self._run.note("it is another mailbox than before: it is read anew")
        async with self._run.transaction() as tx:
            for name in known:
                self._run.counts.removed += await store.drop_folder(tx, self._run.name, name)
            await replace(state, source=source).save(tx)

    async def _list(self) -> dict[str, bytes]:
        """Return the folders that are wanted: by name, as the server calls them."""
        found: dict[str, bytes] = {}
        for line in (await self._imap.command("LIST", b"", b"*")).of("LIST"):
            try:
                name, wire, readable = _listed(line)
                if name in found and found[name] != wire:
                    raise InvalidInput("found two folders of this name")
            except InvalidInput as error:
                self._listed = False
                await self._set_aside(str(line)[:500], str(error))
                continue
            if readable and _wanted(name, self._settings.folders):
                found[name] = wire
        return found

    async def _folder(self, name: str, wire: bytes, before: Folder | None) -> None:
        condstore = "CONDSTORE" in self._imap.capabilities
        opened = await self._imap.command("EXAMINE", wire, *(["(CONDSTORE)"] if condstore else []))
        uidvalidity, exists = opened.said("UIDVALIDITY"), _exists(opened)
        if uidvalidity is None:
            raise Refused("found no UIDVALIDITY, expected a folder whose messages have UIDs")
        if before is not None and before.uidvalidity != uidvalidity:
            self._run.note(f"{name}: its messages have new numbers, so it is read again")
            await self._drop(before.name)
            before = None
        folder = before or Folder(name, uidvalidity)
        if before is None:
            await self._save(folder)
        known = await store.known(self._run.name, folder)
        flags = self._run.full or await self._flags(folder, known, condstore)
        whole = await self._compare(folder, opened, known, exists)
        uidnext = opened.said("UIDNEXT")
        modseq = opened.said("HIGHESTMODSEQ", syntax.MAX_MODSEQ) if condstore else None
        await self._save(
            replace(
                folder,
                last_uid=uidnext - 1 if whole and uidnext else 0,
                modseq=modseq if flags else folder.modseq,
            )
        )

    async def _save(self, folder: Folder) -> None:
        if not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.save_folder(tx, self._run.name, folder)

    async def _flags(self, folder: Folder, known: Mapping[int, tuple[str, bool]], condstore: bool) -> bool:
        """Store new flags of messages that were known; False where the server does not tell them."""
        uids = sorted(known)
        since = f"(CHANGEDSINCE {folder.modseq})" if condstore and folder.modseq is not None else None
        for start in range(0, len(uids), _FLAGS_AT_ONCE):
            part = uids[start : start + _FLAGS_AT_ONCE]
            words = ["FETCH", f"{part[0]}:{part[-1]}", "(UID FLAGS)", *([since] if since else [])]
            try:
                found = await self._messages.fetch(*words)
            except REFUSED as error:
                await self._set_aside(f"{folder.name}: flags", str(error))
                return False
            texts = {
                uid: store.flags_text(items["FLAGS"]) for uid, items in found.items() if "FLAGS" in items
            }
            other = {uid: text for uid, text in texts.items() if uid in known and known[uid][0] != text}
            if other and not self._run.dry_run:
                async with self._run.transaction() as tx:
                    await store.set_flags(tx, self._run.name, folder, other)
            self._run.counts.changed += len(other)
        return True

    async def _compare(
        self, folder: Folder, opened: Answer, known: Mapping[int, tuple[str, bool]], exists: int
    ) -> bool:
        """Read what is missing, mark what is gone; say whether the table has now what the server has."""
        uidnext = opened.said("UIDNEXT")
        as_before = uidnext is not None and uidnext - 1 <= folder.last_uid and len(known) == exists
        if as_before and not self._run.full:
            return True
        there = await self._search()
        agrees = len(there) == exists
        whole = await self._messages.read(folder, there if self._run.full else there - known.keys(), known)
        gone = sorted(known.keys() - there)
        if not agrees:
            self._run.note(f"{folder.name}: the server counts {exists} messages and lists {len(there)}")
        elif gone:
            if not self._run.dry_run:
                async with self._run.transaction() as tx:
                    await store.mark_gone(tx, self._run.name, folder, gone)
            self._run.counts.removed += len(gone)
        return whole and agrees

    async def _search(self) -> set[int]:
        found: set[int] = set()
        for line in (await self._imap.command("UID", "SEARCH", "ALL")).of("SEARCH"):
            for one in line[1:]:
                uid = syntax.number(one)
                if not uid:
                    raise Refused(f"found the UID {str(one)[:60]!r}, expected a number below 4,294,967,296")
                found.add(uid)
        return found

    async def _gone(self, names: list[str]) -> None:
        for name in names:
            self._run.note(f"{name}: the folder is gone, or no longer wanted")
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        if self._run.dry_run:
            return
        async with self._run.transaction() as tx:
            self._run.counts.removed += await store.drop_folder(tx, self._run.name, name)

    async def _set_aside(self, what: str, reason: str) -> None:
        self._aside.add(what[:500])
        await self._run.set_aside(_FOLDERS, [(what, reason, "")])

    async def _over(self) -> None:
        """Take back what was set aside of the list of folders before, and is well now."""
        if self._run.dry_run:
            return
        async with self._run.transaction() as tx:
            await self._run.taken(tx, _FOLDERS, await store.aside(tx, self._run.name, _FOLDERS) - self._aside)


def _listed(line: list[syntax.Value]) -> tuple[str, bytes, bool]:
    """Return a folder's name, what the server calls it, and whether it can be opened."""
    if len(line) < 4 or not isinstance(line[3], bytes | str):
        raise InvalidInput("found what is no folder")
    wire = line[3] if isinstance(line[3], bytes) else line[3].encode()
    name = syntax.folder_name(wire)
    if len(name.encode(errors="replace")) > _MAX_NAME:
        raise InvalidInput(f"found a name of more than {_MAX_NAME:,} octets")
    attributes = {str(one).lower() for one in line[1]} if isinstance(line[1], list) else set()
    return name, wire, not {"\\noselect", "\\nonexistent"} & attributes


def _exists(opened: Answer) -> int:
    for one in opened.of("EXISTS"):
        found = syntax.number(one[0])
        if found is not None:
            return found
    raise Refused("found a folder that does not say how many messages it has")


def _wanted(name: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a folder is to be read: named by a pattern, and not taken out by one with `!`."""
    out = any(fnmatchcase(name, one[1:]) for one in patterns if one.startswith("!"))
    named = [one for one in patterns if not one.startswith("!")] or ["*"]
    return not out and any(fnmatchcase(name, one) for one in named)
