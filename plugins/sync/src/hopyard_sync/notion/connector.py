"""Reading Notion: what was edited since the last run, and from time to time everything, to see what is gone.

A pass goes through the search, the latest edited first, and then through the rows of each data source. What
was read carries the number of the pass, so that a pass that goes on after a kill does not read it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard.storage import utcnow

from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState, mark
from hopyard_sync.errors import Answered, Forbidden
from hopyard_sync.notion import content, store
from hopyard_sync.notion.client import Blocks, Client, Cursors, Listed, open_session
from hopyard_sync.settings import NotionConnection

_STREAM = "pages"
#: Things that were set aside and are tried again at the beginning of a run.
_MOST_AGAIN = 50
#: Before everything that Notion has.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)


async def sync(run: Run) -> None:
    """Do one pass."""
    settings: NotionConnection = run.options
    async with open_session(run.name, settings) as session:
        try:
            await _Pass(run, Client(session, settings), settings).run()
        finally:
            run.count_requests(session)


async def check(run: Run) -> None:
    """Ask Notion who one is."""
    settings: NotionConnection = run.options
    async with open_session(run.name, settings) as session:
        await Client(session, settings).me()


class _Pass:
    """One pass.

    The stream's cursor is `{"edited": …, "full": …}`: the latest edit that was seen, and when everything was
    read last. Its position is `{"source": …, "start": …, "highest": …, "full": …}`: None for the search, or
    the data source that is being read; where in it; the latest edit so far; whether it reads everything.
    """

    def __init__(self, run: Run, client: Client, settings: NotionConnection) -> None:
        self._run = run
        self._client = client
        self._settings = settings
        self._cursors = Cursors()
        self._restarted = False
        self._unread = False
        """Whether there was an object of which nobody knows which one it is."""
        self._seen: set[str] = set()
        """The objects that a dry run has seen."""

    async def run(self) -> None:
        token = self._settings.token.get_secret_value()
        state = await self._run.stream(_STREAM, mark(self._settings.url, token))
        cursor: dict[str, Any] = state.cursor or {}
        position = None if self._run.dry_run else state.position
        if self._run.full:
            position, state = None, state.anew()
        if position is None:
            full = self._run.full or self._due(cursor.get("full"))
            position = {"source": None, "start": None, "highest": cursor.get("edited"), "full": full}
        since = None if position["full"] else self._since(cursor.get("edited"))
        began = utcnow().isoformat()
        if position["source"] is None and position["start"] is None:
            await self._read_again(state)
        full = bool(position["full"])
        while position is not None:
            position = await self._part(state, position, since)
        if self._run.dry_run:
            await self._count_gone(full)
            return
        await self._end(began)

    async def _read_again(self, state: StreamState) -> None:
        """Try once more what was set aside: a search would not name it until somebody edits it."""
        for id_ in await store.aside(self._run.name, _STREAM, _MOST_AGAIN):
            try:
                one = content.checked(await self._client.page(id_))
            except (InvalidInput, Forbidden) as error:
                self._run.note(f"{id_}: still set aside: {error}")
                if isinstance(error, Answered) and error.status == 404 and not self._run.dry_run:
                    async with self._run.transaction() as tx:  # it is gone
                        await self._run.taken(tx, _STREAM, [id_])
                continue
            if not self._run.dry_run:
                await self._read(state, one)

    def _due(self, full: str | None) -> bool:
        if full is None:
            return True
        return utcnow() - datetime.fromisoformat(full) > timedelta(seconds=self._settings.full_every)

    def _since(self, edited: str | None) -> str | None:
        if edited is None:
            return None
        earlier = max(_moment(edited), _FIRST) - timedelta(seconds=self._settings.overlap)
        return earlier.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def _part(
        self, state: StreamState, position: dict[str, Any], since: str | None
    ) -> dict[str, Any] | None:
        """Read one part of a list, and return the position behind it."""
        listed = await self._list(position, since)
        self._cursors.check(listed.following)
        objects, refused = _objects(listed.results)
        self._unread = self._unread or len(refused) > 0
        await self._run.set_aside(_STREAM, refused)
        fresh = [
            one for one in objects if since is None or _moment(one["last_edited_time"]) >= _moment(since)
        ]
        await self._take(state, fresh)
        edits = [one["last_edited_time"] for one in fresh]
        believed = [edit for edit in edits if _moment(edit) <= _latest()]
        highest = max([position["highest"] or "", *believed], key=_rank) or None
        over = listed.following is None or (position["source"] is None and len(fresh) < len(objects))
        unread = self._unread or position.get("unread", False)
        following = {**position, "start": listed.following, "highest": highest, "unread": unread}
        if over:
            self._cursors = Cursors()
            source = await store.source_after(self._run.name, position["source"])
            following |= {"source": source, "start": None}
        if not self._run.dry_run:
            async with self._run.transaction() as tx:
                await state.at(following).save(tx)
                if position["source"] is not None and listed.results:
                    await self._run.taken(tx, _STREAM, [position["source"]])
        done = over and following["source"] is None
        return None if done else following

    async def _list(self, position: dict[str, Any], since: str | None) -> Listed:
        source, start = position["source"], position["start"]
        try:
            if source is None:
                return await self._client.search(start)
            return await self._client.rows(source, since, start)
        except Answered as error:
            if start is not None and error.status == 400 and not self._restarted:  # a cursor of yesterday
                self._restarted = True
                self._cursors = Cursors()
                return await self._list({**position, "start": None}, since)
            if source is not None and error.status == 404:
                return await self._without(source, "this data source cannot be read any more")
            raise
        except Forbidden as error:
            if source is None:
                raise
            return await self._without(source, str(error))

    async def _without(self, source: str, reason: str) -> Listed:
        """Go on without a data source; nothing can be said of what is gone then."""
        self._unread = True
        await self._run.set_aside(_STREAM, [(source, reason, "")])
        return Listed([], None)

    async def _take(self, state: StreamState, objects: Sequence[Mapping[str, Any]]) -> None:
        known = await store.known(self._run.name, [one["id"] for one in objects])
        if self._run.dry_run:
            self._seen |= {one["id"] for one in objects}
        unchanged = []
        for n, one in enumerate(objects):
            before = known.get(one["id"])
            same = before is not None and before.edited == one["last_edited_time"] and not before.gone
            if before is not None and same and self._settled(before, state):
                unchanged.append(one["id"])
                continue
            if self._run.dry_run or await self._read(state, one):
                self._run.counts.changed += before is not None and not same
                self._run.counts.added += before is None
            self._run.progress(n, len(objects), content.title_of(one)[:100])
            await self._run.keep()
        if unchanged and not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.touch(tx, self._run.name, unchanged, state.pass_number)

    def _settled(self, before: store.Known, state: StreamState) -> bool:
        """Say whether this pass has read it, or one before so late that no edit can hide in its minute."""
        if before.pass_number == state.pass_number:
            return True
        if self._run.full:
            return False
        return before.read - _moment(before.edited) > timedelta(seconds=self._settings.overlap)

    async def _read(self, state: StreamState, one: Mapping[str, Any]) -> bool:
        """Read and store an object; False where it is set aside, so that what is stored of it stays."""
        id_ = one["id"]
        try:
            page = one["object"] == "page"
            blocks = await self._client.blocks(id_, self._run.keep) if page else Blocks([])
            row = store.row_of(self._run.name, one, blocks, state.pass_number)
        except (InvalidInput, Forbidden) as error:
            return await self._aside(state, id_, str(error))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            return await self._aside(state, id_, f"it is no object of Notion's: {error}")
        async with self._run.transaction() as tx:
            await store.put(tx, row)
            await self._run.taken(tx, _STREAM, [id_])
        return True

    async def _aside(self, state: StreamState, id_: str, reason: str) -> bool:
        await self._run.set_aside(_STREAM, [(id_, reason, "")])
        if not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.touch(tx, self._run.name, [id_], state.pass_number)
        return False

    async def _end(self, began: str) -> None:
        """Remember how far the pass came; after a full one mark what it has not seen as gone."""
        state = await self._run.stream(_STREAM)
        position = {"unread": False, **state.position}
        cursor = {"edited": position["highest"], "full": (state.cursor or {}).get("full")}
        async with self._run.transaction() as tx:
            if position["full"]:
                cursor["full"] = began
                if position["unread"]:
                    self._run.note("nothing is marked as gone, for not all could be read")
                else:
                    await self._sweep(tx, state)
            await state.done(cursor).save(tx, completed=True)

    async def _count_gone(self, full: bool) -> None:
        """Count what a pass over everything would mark as gone."""
        if not full or self._unread:
            return
        gone, there = await store.count_unseen(self._run.name, self._seen)
        self._run.check_deletions("from Notion's pages", gone, there, self._settings.most_deletions)
        self._run.counts.removed += gone

    async def _sweep(self, tx: storage.Transaction, state: StreamState) -> None:
        gone, there = await store.unseen(tx, self._run.name, state.pass_number)
        self._run.check_deletions("from Notion's pages", gone, there, self._settings.most_deletions)
        await store.mark_gone(tx, self._run.name, state.pass_number)
        self._run.counts.removed += gone


def _objects(results: Sequence[Any]) -> tuple[list[Mapping[str, Any]], list[tuple[str, str, str]]]:
    objects, refused = [], []
    for n, result in enumerate(results):
        try:
            one = content.checked(result)
            _moment(one["last_edited_time"])
            objects.append(one)
        except InvalidInput as error:
            shown = str(result)[:2000]
            name = hashlib.sha256(shown.encode(errors="replace")).hexdigest()[:12]
            refused.append((f"object {n} ({name})", str(error), shown))
    return objects, refused


def _latest() -> datetime:
    """Return the latest time of an edit that is believed; another one would hide all later edits."""
    return utcnow() + timedelta(days=1)


def _rank(text: str) -> datetime:
    return _moment(text) if text else _FIRST


def _moment(text: str) -> datetime:
    """Return a time of Notion's. Raises `InvalidInput` for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"found the time {text[:60]!r}, expected ISO 8601") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
