"""A CalDAV collection as a side of a calendar."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection as Many
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from hopyard.errors import InvalidInput

from hopyard_sync.caldav import xml
from hopyard_sync.calendars import lines
from hopyard_sync.calendars.merge import Version
from hopyard_sync.calendars.sides import Listing, Write, Written

if TYPE_CHECKING:
    import httpx2

    from hopyard_sync.http.session import Session

#: Writes at the same time: servers that keep a calendar in files lock all of it for each.
_AT_ONCE: Final = 2
#: Answers of a sync-collection that a server gives in parts.
_MOST_PARTS: Final = 1000
_XML: Final = {"Content-Type": "application/xml; charset=utf-8"}
_ICS: Final = "text/calendar; charset=utf-8"
#: By what servers say that they do not know a token any more, or no sync-collection at all.
_NO_TOKEN: Final = (400, 403, 404, 405, 409, 410, 412, 415, 422, 501, 507)
#: By what they say that they will not have this resource; the rest can go on.
_NOT_THIS: Final = (400, 403, 409, 413, 415, 422)


class Collection:
    """Resources are named by the paths of their URLs, in one way of escaping."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._path = _path(session.url).rstrip("/") + "/"
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def check(self) -> None:
        """Raise unless there is a calendar; `InvalidInput` says which ones there are instead."""
        from hopyard_sync.caldav.discovery import calendars

        response = await self._session.request(
            "PROPFIND",
            self._path,
            content=xml.propfind("resourcetype"),
            headers={**_XML, "Depth": "0"},
            accept=(404, 405),
        )
        if response.status_code == 207:
            found, _ = xml.multistatus(response.content)
            kinds = (
                found[0].properties.find(xml.dav("resourcetype")) if found and found[0].properties else None
            )
            if kinds is not None and kinds.find(xml.caldav("calendar")) is not None:
                return
        others = await calendars(self._session)
        raise InvalidInput(
            f"{self._session.url} is no calendar; expected one of: {', '.join(others) or '(none was found)'}"
        )

    async def listing(self, known: Mapping[str, str], token: str | None) -> Listing:
        """Ask for what changed since the token; for everything where the server knows it no more."""
        if token is not None:
            listing = await self._changes(known, token)
            if listing is not None:
                return listing
        listing = await self._changes({}, "")
        return listing if listing is not None else await self._etags()

    async def _changes(self, known: Mapping[str, str], token: str) -> Listing | None:
        """Return what is there by a sync-collection REPORT; None where the server does not do it."""
        etags, seen = dict(known), {token}
        for _ in range(_MOST_PARTS):
            response = await self._session.request(
                "REPORT",
                self._path,
                content=xml.sync_collection(token),
                headers={**_XML, "Depth": "0"},
                accept=_NO_TOKEN,
            )
            if response.status_code != 207:
                return None
            found, following = xml.multistatus(response.content)
            more = self._take(found, etags)
            if following is None:
                return None
            if not more:
                return Listing(etags, following)
            if following in seen:
                raise InvalidInput(f"{self._session.url}: the sync token {following[:60]!r} leads to itself")
            seen.add(following)
            token = following
        raise InvalidInput(f"{self._session.url}: found more than {_MOST_PARTS} parts of one listing")

    def _take(self, found: Sequence[xml.Found], etags: dict[str, str]) -> bool:
        """Note what is there and what is gone; say whether the server has more to tell."""
        more = False
        for one in found:
            name = self._name(one.href)
            if name is None:
                more = more or one.status == 507
            elif one.status == 404:
                etags.pop(name, None)
            elif (etag := one.text(xml.dav("getetag"))) is not None:
                etags[name] = etag
        return more

    def _name(self, href: str) -> str | None:
        """Return the name of a resource, None for the collection. Raises `InvalidInput` for another place."""
        path = _path(self._session.absolute(href))
        if path.rstrip("/") == self._path.rstrip("/"):
            return None
        if not path.startswith(self._path) or "/" in path[len(self._path) :].rstrip("/"):
            raise InvalidInput(f"{self._session.url}: found the resource {href[:100]!r}, which is not in it")
        return path

    async def _etags(self) -> Listing:
        response = await self._session.request(
            "PROPFIND",
            self._path,
            content=xml.propfind("getetag", "getcontenttype"),
            headers={**_XML, "Depth": "1"},
        )
        etags: dict[str, str] = {}
        found, _ = xml.multistatus(response.content)
        self._take(found, etags)
        return Listing(etags, None)

    async def read(self, names: Many[str]) -> Mapping[str, Version]:
        """Return resources by one multiget."""
        if not names:
            return {}
        response = await self._session.request(
            "REPORT", self._path, content=xml.multiget(names), headers={**_XML, "Depth": "1"}
        )
        found, _ = xml.multistatus(response.content)
        read: dict[str, Version] = {}
        for one in found:
            name, etag = self._name(one.href), one.text(xml.dav("getetag"))
            text = one.properties.find(xml.caldav("calendar-data")) if one.properties else None
            if name is not None and etag is not None and text is not None:
                # XML readers turn line ends into LF (XML 1.0, section 2.11); iCalendar's are CRLF.
                read[name] = Version(name, etag, text.text.replace("\r\n", "\n").replace("\n", "\r\n"))
        return read

    async def write(self, changes: Sequence[Write]) -> Sequence[Written]:
        """Make the changes, a few at a time, and read the versions that the server did not tell."""
        written = await asyncio.gather(*(self._write(change) for change in changes))
        untold = {
            one.version.name: n
            for n, one in enumerate(written)
            if one.version is not None and not one.version.etag
        }
        read = await self.read([*untold])
        for name, n in untold.items():
            text = changes[n].text or ""
            there = read.get(name)
            # Another's version, or one that the server has changed itself: the next run looks at it.
            same = there is not None and lines.fingerprint(there.text or "") == lines.fingerprint(text)
            written[n] = Written(Version(name, there.etag if there is not None and same else "unknown"))
        return written

    async def _write(self, change: Write) -> Written:
        async with self._gate:
            if change.text is None:
                return await self._delete(change)
            return await self._put(change)

    async def _put(self, change: Write) -> Written:
        assert change.text is not None  # noqa: S101 - see `_write`
        name = change.name or _path(self._path + quote(_file(change.uid)))
        condition = {"If-None-Match": "*"} if change.etag is None else {"If-Match": change.etag}
        response = await self._session.request(
            "PUT",
            name,
            content=change.text.encode(errors="replace"),
            headers={"Content-Type": _ICS, **condition},
            accept=(404, 412, *_NOT_THIS),
        )
        if response.status_code in (404, 412) or _says_taken(response):
            return Written(stale=True)
        if response.status_code >= 400:
            return Written(refused=f"the server answered {response.status_code}: {response.text[:200]}")
        return Written(Version(name, response.headers.get("ETag", "")))

    async def _delete(self, change: Write) -> Written:
        response = await self._session.request(
            "DELETE",
            str(change.name),
            headers={"If-Match": str(change.etag)},
            accept=(404, 410, 412, *_NOT_THIS),
        )
        if response.status_code == 412:
            return Written(stale=True)
        if response.status_code in _NOT_THIS:
            return Written(refused=f"the server answered {response.status_code}: {response.text[:200]}")
        return Written()


def _says_taken(response: httpx2.Response) -> bool:
    """Another resource has the UID (RFC 4791, section 5.3.2.1): both sides are looked at anew."""
    return response.status_code in (403, 409) and b"no-uid-conflict" in response.content


def _file(uid: str) -> str:
    """Return the name of a new resource; a digest of UIDs that make no good name."""
    plain = "".join(letter for letter in uid if letter.isalnum() or letter in "-_.@")
    good = plain == uid and 0 < len(uid) <= 100 and not uid.startswith(".") and uid.isascii()
    return f"{uid if good else hashlib.sha256(uid.encode(errors='replace')).hexdigest()}.ics"


def _path(url: str) -> str:
    """Return the path of an address, escaped as `quote` does it, whatever way the server chose."""
    return quote(unquote(urlsplit(urljoin("/", url)).path) or "/", safe="/@:+,;=$!*'()&~")
