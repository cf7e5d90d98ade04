"""Reading Notion: what was edited since the last run, and from time to time everything, to see what is gone.

A pass goes through the search, the latest edited first, and then through the rows of each data source. What
was read carries the number of the pass, so that a pass that goes on after a kill does not read it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard.storage import utcnow

from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState
from hopyard_sync.notion import content, store
from hopyard_sync.notion.client import Blocks, Client, Listed, open_session
from hopyard_sync.settings import NotionConnection

_STREAM = "pages"


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

    async def run(self) -> None:
        state = await self._run.stream(_STREAM)
        cursor: dict[str, Any] = state.cursor or {}
        position = None if self._run.dry_run else state.position
        if self._run.full:
            position, state = None, state.anew()
        if position is None:
            full = self._run.full or self._due(cursor.get("full"))
            position = {"source": None, "start": None, "highest": cursor.get("edited"), "full": full}
        since = None if position["full"] else self._since(cursor.get("edited"))
        began = utcnow().isoformat()
        while position is not None:
            position = await self._part(state, position, since)
        if self._run.dry_run:
            return
        await self._end(began)

    def _due(self, full: str | None) -> bool:
        if full is None:
            return True
        return utcnow() - datetime.fromisoformat(full) > timedelta(seconds=self._settings.full_every)

    def _since(self, edited: str | None) -> str | None:
        if edited is None:
            return None
        earlier = _moment(edited) - timedelta(seconds=self._settings.overlap)
        return earlier.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def _part(
        self, state: StreamState, position: dict[str, Any], since: str | None
    ) -> dict[str, Any] | None:
        """Read one part of a list, and return the position behind it."""
        listed = await self._list(position, since)
        objects, refused = _objects(listed.results)
        await self._run.set_aside(_STREAM, refused)
        fresh = [
            one for one in objects if since is None or _moment(one["last_edited_time"]) >= _moment(since)
        ]
        await self._take(state, fresh)
        highest = max([position["highest"] or "", *(one["last_edited_time"] for one in fresh)]) or None
        over = listed.following is None or (position["source"] is None and len(fresh) < len(objects))
        following: dict[str, Any] | None = {**position, "start": listed.following, "highest": highest}
        if over:
            source = await store.source_after(self._run.name, position["source"])
            following = {**position, "source": source, "start": None, "highest": highest}
        if not self._run.dry_run:
            async with self._run.transaction() as tx:
                await state.at(following).save(tx)
        done = over and following is not None and following["source"] is None
        return None if done else following

    async def _list(self, position: dict[str, Any], since: str | None) -> Listed:
        source, start = position["source"], position["start"]
        try:
            if source is None:
                return await self._client.search(start)
            return await self._client.rows(source, since, start)
        except InvalidInput as error:
            if start is not None and "400" in str(error):  # a cursor of yesterday: from the beginning again
                return await self._list({**position, "start": None}, since)
            if source is not None and "404" in str(error):
                await self._run.set_aside(_STREAM, [(source, "this data source cannot be read any more", "")])
                return Listed([], None)
            raise

    async def _take(self, state: StreamState, objects: Sequence[Mapping[str, Any]]) -> None:
        known = await store.known(self._run.name, [one["id"] for one in objects])
        unchanged = []
        for n, one in enumerate(objects):
            before = known.get(one["id"])
            same = before is not None and before.edited == one["last_edited_time"] and not before.gone
            if before is not None and same and self._settled(before, state):
                unchanged.append(one["id"])
                continue
            self._run.counts.changed += before is not None and not same
            self._run.counts.added += before is None
            if not self._run.dry_run:
                await self._read(state, one)
            self._run.progress(n, len(objects), content.title_of(one)[:100])
            await self._run.keep()
        if unchanged and not self._run.dry_run:
            async with self._run.transaction() as tx:
                await store.touch(tx, self._run.name, unchanged, state.pass_number)

    def _settled(self, before: store.Known, state: StreamState) -> bool:
        """Say whether this pass has read it, or one before so late that no edit can hide in its minute."""
        if before.pass_number == state.pass_number:
            return True
        return before.read - _moment(before.edited) > timedelta(seconds=self._settings.overlap)

    async def _read(self, state: StreamState, one: Mapping[str, Any]) -> None:
        try:
            blocks = await self._client.blocks(one["id"]) if one["object"] == "page" else Blocks([])
        except InvalidInput as error:
            await self._run.set_aside(_STREAM, [(one["id"], str(error), content.title_of(one))])
            return
        async with self._run.transaction() as tx:
            await store.put(tx, self._run.name, one, blocks, state.pass_number)

    async def _end(self, began: str) -> None:
        """Remember how far the pass came; after a full one mark what it has not seen as gone."""
        state = await self._run.stream(_STREAM)
        position = state.position
        cursor = {"edited": position["highest"], "full": (state.cursor or {}).get("full")}
        async with self._run.transaction() as tx:
            if position["full"]:
                cursor["full"] = began
                await self._sweep(tx, state)
            await state.done(cursor).save(tx, completed=True)

    async def _sweep(self, tx: storage.Transaction, state: StreamState) -> None:
        gone, there = await store.unseen(tx, self._run.name, state.pass_number)
        self._run.check_deletions("from Notion's pages", gone, there, self._settings.most_deletions)
        await store.mark_gone(tx, self._run.name, state.pass_number)
        self._run.counts.removed += gone


def _objects(results: Sequence[Any]) -> tuple[list[Mapping[str, Any]], list[tuple[str, str, str]]]:
    objects, refused = [], []
    for result in results:
        try:
            one = content.checked(result)
            _moment(one["last_edited_time"])
            objects.append(one)
        except InvalidInput as error:
            refused.append(("an object", str(error), str(result)[:2000]))
    return objects, refused


def _moment(text: str) -> datetime:
    """Return a time of Notion's. Raises `InvalidInput` for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"found the time {text[:60]!r}, expected ISO 8601") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
