"""Reading a REST API page by page: each page's rows and the position behind it in one transaction."""

from __future__ import annotations

from typing import Any

from hopyard.errors import InvalidInput

from hopyard_sync import records
from hopyard_sync.engine.limits import Limiter
from hopyard_sync.engine.run import Run
from hopyard_sync.engine.stream import StreamState, mark
from hopyard_sync.errors import TooManyDeletions
from hopyard_sync.http.auth import Auth, Fixed, basic, bearer
from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.http.session import Session
from hopyard_sync.rest import cursors, pages, rows
from hopyard_sync.rest.paths import at
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
    """Read all streams of an API, one after the other. What is wrong with one is raised after the others."""
    settings: ApiConnection = run.options
    wrong: list[InvalidInput] = []
    async with open_session(run.name, settings) as session:
        try:
            for name, stream in settings.streams.items():
                try:
                    await _Reader(run, session, name, stream, settings.most_deletions).read()
                except InvalidInput as error:
                    run.note(f"{name}: {error}")
                    wrong.append(error)
        finally:
            run.count_requests(session)
    if wrong:
        raise next((error for error in wrong if isinstance(error, TooManyDeletions)), wrong[0])


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
        headers={
            "Accept": "application/json",
            **{name: value.get_secret_value() for name, value in settings.headers.items()},
        },
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

    The stream's position is `{"page": …, "number": …, "highest": …, "unread": …}`: the page that comes next,
    how many were read, the highest cursor among their rows, and how many rows nobody knows the key of.
    """

    def __init__(self, run: Run, session: Session, name: str, stream: Stream, share: float) -> None:
        self._run = run
        self._session = session
        self._name = name
        self._stream = stream
        self._share = share
        self._seen: set[str] = set()
        self._before: Any = None
        """The rows of the page before."""
        self._keys: set[str] = set()
        """The keys that a dry run has seen, where it has to know what would be removed."""

    async def read(self) -> None:
        """Read the stream to its end, from where the last run left it.

        A position of an earlier run that the API does not know any more, or that leads nowhere, is given up:
        the pass begins again.
        """
        state = await self._run.stream(self._name, _source(self._run.options, self._stream))
        if self._run.full:
            state = state.anew()
        elif self._run.dry_run:
            state = state.at(None)
        try:
            await self._pages(state)
        except InvalidInput as error:
            if self._run.dry_run or isinstance(error, TooManyDeletions):
                raise
            await self._run.store(state.at(None), ())
            if state.position is None:
                raise
            self._run.note(f"{self._name}: read from the beginning, for where the last run came to: {error}")
            self._seen.clear()
            await self._pages(state.at(None))

    async def _pages(self, state: StreamState) -> None:
        first = {"page": None, "number": 0, "highest": state.cursor, "unread": 0}
        position: dict[str, Any] | None = {**first, **(state.position or {})}
        while position is not None:
            position = await self._page(state, position)

    async def _page(self, state: StreamState, position: dict[str, Any]) -> dict[str, Any] | None:
        number = position["number"] + 1
        self._check(position["page"], number)
        asked = await self._ask(state, position["page"])
        if asked is None:
            empty = rows.Rows(highest=position["highest"])
            await self._last(state, empty, "the API does not say where it ends")
            return None
        answer, link, url = asked
        if self._came_again(answer):
            await self._last(state, rows.Rows(highest=position["highest"]), "its last page comes again")
            return None
        found = rows.read(self._stream, answer, position["highest"], number)
        page = self._following(position["page"], answer, link, url, found.count)
        unread = position["unread"] + found.nameless
        following = {"page": page, "number": number, "highest": found.highest, "unread": unread}
        self._tell(found)
        await self._run.set_aside(self._name, found.refused)
        if page is not None:
            await self._keep(state.at(following), found)
        else:
            await self._last(state, found, f"{unread} rows came without a key" if unread else None)
        self._run.progress(number, None, f"{self._name}: {number} pages")
        await self._run.keep()
        return None if page is None else following

    def _came_again(self, answer: Any) -> bool:
        """Say whether a counted page is the one before: some APIs give their last one again, for ever."""
        here = at(answer, self._stream.rows)
        again = pages.counted(self._stream.pagination) and bool(here) and here == self._before
        self._before = here
        return again

    def _following(self, page: Any, answer: Any, link: str | None, url: str, count: int) -> Any:
        """Return the position of the next page; None if this was the last one."""
        how = self._stream.pagination
        following = pages.following(how, page, answer, link, url, count)
        return self._session.bare(following) if pages.page(how, following).url else following

    def _tell(self, found: rows.Rows) -> None:
        if found.again:
            self._run.note(
                f"{self._name}: {found.again} rows of a page have the key of another one, of which the last "
                f"is kept; is {', '.join(self._stream.keys)} the key?"
            )
        if found.late:
            self._run.note(f"{self._name}: rows that do not move the cursor: {found.late[0]}")
        if self._run.dry_run and self._stream.removes:
            self._keys |= {record.key for record in found.records} | {*found.unread}

    async def _keep(self, state: StreamState, found: rows.Rows) -> None:
        """Store a page and the position behind it, in one transaction."""
        if self._run.dry_run:
            await self._run.store(state, found.records)
            return
        async with self._run.transaction() as tx:
            await records.upsert(self._run, tx, state, found.records)
            if found.unread:
                await records.touch(tx, state, found.unread)
            await state.save(tx)

    async def _last(self, state: StreamState, found: rows.Rows, unsure: str | None) -> None:
        """Store the last page and end the pass, in one transaction with what it removes.

        Nothing is removed where it is `unsure` that all rows were seen, with the reason.
        """
        run = self._run
        removes = self._stream.removes and unsure is None
        if self._stream.removes and unsure is not None:
            run.note(f"{self._name}: nothing is removed, for {unsure}")
        if run.dry_run:
            await run.store(state, found.records)
            if removes:
                await records.count_unseen(run, state, self._keys, self._share)
            return
        async with run.transaction() as tx:
            await records.upsert(run, tx, state, found.records)
            if found.unread:
                await records.touch(tx, state, found.unread)
            if removes:
                await records.sweep(run, tx, state, self._share)
            await state.done(found.highest).save(tx, completed=True)

    async def _ask(self, state: StreamState, page: Any) -> tuple[Any, str | None, str] | None:
        """Return a page's answer, Link header and address; None where there is no such page any more."""
        asked = pages.page(self._stream.pagination, page)
        url: str = self._run.options.url.rstrip("/") + self._stream.path
        query = {**self._stream.query, **asked.query}
        increment = self._stream.increment
        if increment is not None and (since := cursors.since(increment, state.cursor)) is not None:
            query[increment.parameter] = since
        if asked.url is not None:  # it has the parameters in it
            url, query = asked.url, {}
        # Behind the last page some say that there is no such page.
        accept = (404,) if page is not None and pages.counted(self._stream.pagination) else ()
        response = await self._session.request(
            self._stream.method, url, query=query, json=self._stream.body, accept=accept
        )
        if response.status_code == 404:
            return None
        return self._session.decoded(response), response.headers.get("Link"), str(response.url)

    def _check(self, page: Any, number: int) -> None:
        """Raise `InvalidInput` where pages go round in a circle, or there are too many."""
        if number > self._stream.max_pages:
            raise InvalidInput(
                f"{self._run.name}: {self._name}: found more than {self._stream.max_pages} pages "
                "(`max_pages`); the next run begins with the first one"
            )
        if str(page) in self._seen:
            raise InvalidInput(
                f"{self._run.name}: {self._name}: the page {str(page)[:60]!r} leads back to itself: "
                "expected pages that end"
            )
        self._seen.add(str(page))


def _source(settings: ApiConnection, stream: Stream) -> str:
    """Return what stands for what a stream reads and how: the cursor of another one would hide its rows."""
    parts = stream.model_dump(mode="json", exclude={"max_pages", "removes"})
    return mark(settings.url, _account(settings.auth), parts)


def _account(auth: Any) -> list[str]:
    """Return what stands for who one is there: another account sees other rows."""
    if isinstance(auth, BasicAuth):
        return [auth.kind, auth.user]
    if isinstance(auth, OAuth2Auth):
        refresh = auth.refresh_token
        return [auth.kind, auth.client_id, refresh.get_secret_value() if refresh else ""]
    if isinstance(auth, BearerAuth):
        return [auth.kind, auth.token.get_secret_value()]
    if isinstance(auth, HeaderKey | QueryKey):
        return [auth.kind, auth.name, auth.key.get_secret_value()]
    return [auth.kind]
