"""Notion's API, version 2025-09-03: search, rows of data sources, blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from hopyard.errors import InvalidInput

from hopyard_sync.engine.limits import Limiter
from hopyard_sync.http.auth import bearer
from hopyard_sync.http.session import Session

if TYPE_CHECKING:
    from hopyard_sync.settings import NotionConnection

VERSION: Final = "2025-09-03"
_PAGE: Final = 100
#: Of a hundred each: no workspace has so many.
_MOST_PARTS: Final = 100_000
Keep = Callable[[], Awaitable[None]]
#: Blocks that are pages and databases of their own.
_OWN_PAGES: Final = ("child_page", "child_database")


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a list, and the cursor of the next part."""

    results: list[Any]
    following: str | None


@dataclass(slots=True)
class Blocks:
    """The blocks of a page as a tree; `cut` where there are more than are read."""

    tree: list[dict[str, Any]]
    count: int = 0
    cut: bool = False


class Cursors:
    """The cursors of one list: none may come twice, and there are not endlessly many."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def check(self, cursor: str | None) -> None:
        """Raise `InvalidInput` for a cursor that leads back, or is one too many."""
        if cursor is None:
            return
        if cursor in self._seen or len(self._seen) == _MOST_PARTS:
            raise InvalidInput(f"Notion: the cursor {cursor[:60]!r} leads round in a circle")
        self._seen.add(cursor)


class Client:
    """The API as one integration sees it."""

    def __init__(self, session: Session, settings: NotionConnection) -> None:
        self._session = session
        self._settings = settings

    async def me(self) -> None:
        """Ask who one is."""
        await self._session.json("GET", "/v1/users/me")

    async def search(self, start: str | None) -> Listed:
        """Return pages and data sources, the latest edited first."""
        body: dict[str, Any] = {"sort": {"direction": "descending", "timestamp": "last_edited_time"}}
        return await self._listed("/v1/search", body, start)

    async def rows(self, source: str, since: str | None, start: str | None) -> Listed:
        """Return the rows of a data source that were edited since a moment, in any order."""
        body: dict[str, Any] = {}
        if since is not None:
            body["filter"] = {"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": since}}
        return await self._listed(f"/v1/data_sources/{quote(source, safe='')}/query", body, start)

    async def _listed(self, path: str, body: dict[str, Any], start: str | None) -> Listed:
        body["page_size"] = _PAGE
        if start is not None:
            body["start_cursor"] = start
        return _checked(await self._session.json("POST", path, json=body))

    async def page(self, id_: str) -> Any:
        """Return one page."""
        return await self._session.json("GET", f"/v1/pages/{quote(id_, safe='')}")

    async def blocks(self, page: str, keep: Keep) -> Blocks:
        """Return a page's blocks and what is in them, as far as the settings allow.

        `keep` is called after each part of them, since that takes its time.
        """
        found = Blocks([])
        found.tree = await self._children(page, found, 1, keep)
        return found

    async def _children(self, parent: str, found: Blocks, depth: int, keep: Keep) -> list[dict[str, Any]]:
        tree: list[dict[str, Any]] = []
        async for block in self._child_blocks(parent, keep):
            if found.count >= self._settings.max_blocks:
                found.cut = True
                break
            found.count += 1
            made = {name: value for name, value in block.items() if name != "children"}
            if block.get("has_children") and block.get("type") not in _OWN_PAGES:
                if depth >= self._settings.max_depth:
                    found.cut = True
                else:
                    made["children"] = await self._children(str(block.get("id")), found, depth + 1, keep)
            tree.append(made)
        return tree

    async def _child_blocks(self, parent: str, keep: Keep) -> AsyncIterator[Mapping[str, Any]]:
        start: str | None = None
        cursors = Cursors()
        path = f"/v1/blocks/{quote(parent, safe='')}/children"
        while True:
            query = {"page_size": str(_PAGE), **({"start_cursor": start} if start else {})}
            listed = _checked(await self._session.json("GET", path, query=query))
            cursors.check(listed.following)
            await keep()
            for block in listed.results:
                if isinstance(block, Mapping):
                    yield block
            if listed.following is None:
                return
            start = listed.following


def _checked(answer: Any) -> Listed:
    """Return an answer as a part of a list. Raises `InvalidInput` for what is none."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("results"), list):
        raise InvalidInput("Notion: found an answer without results, expected a list")
    following = answer.get("next_cursor") if answer.get("has_more") else None
    if following is not None and not isinstance(following, str):
        raise InvalidInput(f"Notion: found the cursor {str(following)[:60]!r}, expected text")
    return Listed(answer["results"], following)


def open_session(name: str, settings: NotionConnection) -> Session:
    """Return a session with the integration's token, version and limit."""
    return Session(
        name,
        settings.url,
        bearer(settings.token.get_secret_value()),
        headers={"Notion-Version": VERSION},
        limiter=Limiter(f"notion {name}", settings.requests_per_second),
    )
