"""Calendars by CalDAV: two-way with the table `sync_event`, or with another collection."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hopyard_sync.caldav.collection import Collection
from hopyard_sync.calendars import merge
from hopyard_sync.calendars.sides import Side
from hopyard_sync.calendars.table import TableSide
from hopyard_sync.calendars.two_way import TwoWay
from hopyard_sync.engine import stream
from hopyard_sync.engine.run import Run
from hopyard_sync.http.auth import Auth, Fixed, basic
from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.http.session import Session
from hopyard_sync.settings import calendars
from hopyard_sync.settings.calendars import CalendarConnection


async def sync(run: Run) -> None:
    """Sync both sides."""
    settings: CalendarConnection = run.options
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(open_session(run.name, settings.side_a()))
        stack.callback(run.count_requests, a)
        b: Side = TableSide(run)
        sources: dict[merge.Side, str] = {"a": _source(settings.side_a()), "b": "the table"}
        if settings.other is not None:
            other = await stack.enter_async_context(open_session(f"{run.name} (b)", settings.other))
            stack.callback(run.count_requests, other)
            b = Collection(other)
            sources["b"] = _source(settings.other)
        await TwoWay(run, Collection(a), b, sources).sync()


async def check(run: Run) -> None:
    """Look whether there is a calendar on both sides."""
    settings: CalendarConnection = run.options
    for side in filter(None, (settings.side_a(), settings.other)):
        async with open_session(run.name, side) as session:
            await Collection(session).check()


def open_session(name: str, side: calendars.Collection) -> Session:
    """Return a session with the credentials of a side."""
    return Session(name, side.url, _auth(name, side), max_bytes=50_000_000)


def _source(side: calendars.Collection) -> str:
    """Return what stands for a calendar and whoever is logged in; another password changes nothing."""
    return stream.mark(side.url, side.user, side.oauth.client_id if side.oauth is not None else None)


def _auth(name: str, side: calendars.Collection) -> Auth:
    if side.oauth is not None:
        return OAuth2(name, side.oauth)
    if side.user is not None and side.password is not None:
        return basic(side.user, side.password.get_secret_value())
    return Fixed()
