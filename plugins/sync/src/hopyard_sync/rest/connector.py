"""Reading a REST API page by page: each page's rows and the position behind it in one transaction."""

from __future__ import annotations

from typing import Any

from hopyard.errors import InvalidInput

from hopyard_sync import records
from hopyard_sync.engine.limits import Limiter
from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState
from hopyard_sync.http.auth import Auth, Fixed, basic, bearer
from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.http.session import Session
from hopyard_sync.rest import pages, rows
from hopyard_sync.settings.apis import (
    ApiConnection,
    BasicAuth,
    BearerAuth,
    HeaderKey,
    OAuth2Auth,
    QueryKey,
    Stream,
)


async def sync(run: Run) -> None:
    """Read all streams of an API, one after the other."""
    settings: ApiConnection = run.options
    async with open_session(run.name, settings) as session:
        try:
            for name, stream in settings.streams.items():
                await _Reader(run, session, name, stream, settings.most_deletions).read()
        finally:
            run.count_requests(session)


async def check(run: Run) -> None:
    """Ask for the first page of the first stream."""
    settings: ApiConnection = run.options
    stream = next(iter(settings.streams.values()))
    async with open_session(run.name, settings) as session:
        await session.request(
            stream.method,
            settings.url.rstrip("/") + stream.path,
            query={**stream.query, **pages.page(stream.pagination, None).query},
            json=stream.body,
        )


def open_session(name: str, settings: ApiConnection) -> Session:
    """Return a session with the API's credentials and limits."""
    return Session(
        name,
        settings.url,
        auth_of(name, settings),
        origins=settings.allow_origins,
        headers={"Accept": "application/json", **settings.headers},
        limiter=Limiter(f"api {name}", settings.requests_per_second)
        if settings.requests_per_second
        else None,
        max_bytes=settings.max_bytes,
        timeout=settings.timeout,
    )


def auth_of(name: str, settings: ApiConnection) -> Auth:
    """Return how requests are let in."""
    auth = settings.auth
    if isinstance(auth, BearerAuth):
        return bearer(auth.token.get_secret_value())
    if isinstance(auth, BasicAuth):
        return basic(auth.user, auth.password.get_secret_value())
    if isinstance(auth, HeaderKey):
        return Fixed({auth.name: auth.key.get_secret_value()})
    if isinstance(auth, QueryKey):
        return Fixed(query={auth.name: auth.key.get_secret_value()})
    if isinstance(auth, OAuth2Auth):
        return OAuth2(name, auth)
    return Fixed()


class _Reader:
    """One pass of one stream.

    The stream's position is `{"page": …, "number": …, "highest": …}`: the page that comes next, how many
    were read, and the highest cursor among their rows.
    """

    def __init__(self, run: Run, session: Session, name: str, stream: Stream, share: float) -> None:
        self._run = run
        self._session = session
        self._name = name
        self._stream = stream
        self._share = share
        self._seen: set[str] = set()

    async def read(self) -> None:
        state = await self._run.stream(self._name)
        if self._run.full:
            state = state.anew()
        elif self._run.dry_run:
            state = state.at(None)
        position = state.position or {"page": None, "number": 0, "highest": state.cursor}
        while position is not None:
            position = await self._page(state, position)

    async def _page(self, state: StreamState, position: dict[str, Any]) -> dict[str, Any] | None:
        number = position["number"] + 1
        self._check(position["page"], number)
        answer, link, url = await self._ask(state, position["page"])
        found = rows.read(self._stream, answer, position["highest"])
        page = pages.following(self._stream.pagination, position["page"], answer, link, url, found.count)
        following = None if page is None else {"page": page, "number": number, "highest": found.highest}
        await self._run.set_aside(self._name, found.refused)
        if following is not None:
            await self._run.store(state.at(following), found.records)
        else:
            await self._last(state, found)
        self._run.progress(number, None, f"{self._name}: {number} pages")
        await self._run.keep()
        return following

    async def _last(self, state: StreamState, found: rows.Rows) -> None:
        """Store the last page and end the pass, in one transaction with what it removes."""
        run = self._run
        if run.dry_run:
            await run.store(state, found.records)
            return
        async with run.transaction() as tx:
            await records.upsert(run, tx, state, found.records)
            if self._stream.removes:
                await records.sweep(run, tx, state, self._share)
            await state.done(found.highest).save(tx, completed=True)

    async def _ask(self, state: StreamState, page: Any) -> tuple[Any, str | None, str]:
        asked = pages.page(self._stream.pagination, page)
        url: str = self._run.options.url.rstrip("/") + self._stream.path
        query = {**self._stream.query, **asked.query}
        increment = self._stream.increment
        if increment is not None and (since := rows.since(increment, state.cursor)) is not None:
            query[increment.parameter] = since
        if asked.url is not None:  # it has the parameters in it
            url, query = asked.url, {}
        response = await self._session.request(self._stream.method, url, query=query, json=self._stream.body)
        return self._session.decoded(response), response.headers.get("Link"), str(response.url)

    def _check(self, page: Any, number: int) -> None:
        """Raise `InvalidInput` where pages go round in a circle, or there are too many."""
        if number > self._stream.max_pages:
            raise InvalidInput(
                f"{self._run.name}: {self._name}: found more than {self._stream.max_pages} pages "
                "(`max_pages`)"
            )
        if str(page) in self._seen:
            raise InvalidInput(
                f"{self._run.name}: {self._name}: the page {str(page)[:60]!r} leads back to itself: "
                "expected pages that end"
            )
        self._seen.add(str(page))
