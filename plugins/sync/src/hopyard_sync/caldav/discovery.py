"""Which calendars there are (RFC 6764, RFC 4791): for messages to people who gave another address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard.errors import InvalidInput, TransientError

from hopyard_sync.caldav import xml

if TYPE_CHECKING:
    from hopyard_sync.http.session import Session

_MOST: Final = 20
_HEADERS: Final = {"Content-Type": "application/xml; charset=utf-8"}


async def calendars(session: Session) -> list[str]:
    """Return the addresses of the calendars of whoever is logged in; none where the server does not tell."""
    try:
        principal = await _link(
            session, session.url, "current-user-principal", xml.dav("current-user-principal")
        )
        home = principal and await _link(
            session, principal, "C:calendar-home-set", xml.caldav("calendar-home-set")
        )
        return await _below(session, home) if home else []
    except (InvalidInput, TransientError):
        return []


async def _ask(session: Session, url: str, depth: str, name: str) -> list[xml.Found]:
    response = await session.request(
        "PROPFIND", url, content=xml.propfind(name), headers={**_HEADERS, "Depth": depth}
    )
    return xml.multistatus(response.content)[0]


async def _link(session: Session, url: str, name: str, element: str) -> str | None:
    for one in await _ask(session, url, "0", name):
        href = one.properties.find(element, xml.dav("href")) if one.properties else None
        if href is not None and href.text.strip():
            return session.absolute(href.text.strip())
    return None


async def _below(session: Session, home: str) -> list[str]:
    found = []
    for one in await _ask(session, home, "1", "resourcetype"):
        kinds = one.properties.find(xml.dav("resourcetype")) if one.properties else None
        if kinds is not None and kinds.find(xml.caldav("calendar")) is not None:
            found.append(session.absolute(one.href))
    return found[:_MOST]
