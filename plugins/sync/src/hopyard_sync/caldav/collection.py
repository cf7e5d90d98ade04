"""A CalDAV collection as a side of a calendar."""

from __future__ import annotations

import asyncio
from collections.abc import Collection as Many
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from hopyard.errors import InvalidInput, TaskError, TransientError

from hopyard_sync.caldav import xml
from hopyard_sync.caldav.names import file_name, path_of
from hopyard_sync.calendars import lines
from hopyard_sync.calendars.merge import Version
from hopyard_sync.calendars.sides import UNKNOWN, Listing, Read, Write, Written

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
_GONE: Final = (404, 410)
#: Resources for which a server may fail in one run; at one more it counts as failing itself.
_MOST_FAILURES: Final = 3


@dataclass(slots=True)
class _Told:
    """What a listing has told until now."""

    etags: dict[str, str | None]
    unclear: dict[str, str] = field(default_factory=dict)


class Collection:
    """Resources are named by the paths of their URLs, in one way of escaping."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._path = path_of(session.url).rstrip("/") + "/"
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._failures = 0

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

    async def _changes(self, known: Mapping[str, str | None], token: str) -> Listing | None:
        """Return what is there by a sync-collection REPORT; None where the server does not do it."""
        told, seen = _Told(dict(known)), {token}
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
            found, following = await asyncio.to_thread(xml.multistatus, response.content)
            more = self._take(found, told)
            if following is None:
                return None
            if not more:
                return Listing(told.etags, following, told.unclear)
            if following in seen:
                raise InvalidInput(f"{self._session.url}: the sync token {following[:60]!r} leads to itself")
            seen.add(following)
            token = following
        raise InvalidInput(f"{self._session.url}: found more than {_MOST_PARTS} parts of one listing")

    async def _etags(self) -> Listing:
        response = await self._session.request(
            "PROPFIND", self._path, content=xml.propfind("getetag"), headers={**_XML, "Depth": "1"}
        )
        told = _Told({})
        found, _ = await asyncio.to_thread(xml.multistatus, response.content)
        if self._take(found, told):
            raise InvalidInput(
                f"{self._session.url}: the server tells only a part of its list (507), so that nobody knows "
                "what is gone; nothing was changed"
            )
        return Listing(told.etags, None, told.unclear)

    def _take(self, found: Sequence[xml.Found], told: _Told) -> bool:
        """Note what is there and what is gone; say whether the server has more to tell.

        Only a 404 says that a resource is gone. One without an ETag is there, and has to be read.
        """
        more = False
        for one in found:
            name = self._name(one.href)
            if name is None:
                more = more or one.status == 507
            elif not name.endswith("/"):  # a collection within this one is no event
                told.etags.pop(name, None)
                told.unclear.pop(name, None)
                if one.status >= 400 and one.status not in _GONE:
                    told.unclear[name] = f"the server answered {one.status} for it"
                elif one.status < 400:
                    told.etags[name] = one.text(xml.dav("getetag")) or None
        return more

    def _name(self, href: str) -> str | None:
        """Return the name of a resource, None for the collection. Raises `InvalidInput` for another place."""
        path = path_of(self._session.absolute(href))
        if path.rstrip("/") == self._path.rstrip("/"):
            return None
        name = path[len(self._path) :].rstrip("/")
        if not path.startswith(self._path) or "/" in name or name in (".", ".."):
            raise InvalidInput(f"{self._session.url}: found the resource {href[:100]!r}, which is not in it")
        return path

    async def read(self, names: Many[str]) -> Read:
        """Return resources by multigets.

        Where one fails, because of what it is to bring or of its size, its halves are asked for, down to the
        one that it is about.
        """
        read, waiting = Read(), [[*names]] if names else []
        while waiting:
            batch = waiting.pop()
            try:
                await self._multiget(batch, read)
            except (InvalidInput, TransientError) as error:
                half = len(batch) // 2
                if half:
                    waiting += [batch[half:], batch[:half]]
                else:
                    read.unclear[batch[0]] = self._cost(error)
        return read

    async def _multiget(self, names: Sequence[str], read: Read) -> None:
        response = await self._session.request(
            "REPORT", self._path, content=xml.multiget(names), headers={**_XML, "Depth": "1"}
        )
        found, _ = await asyncio.to_thread(xml.multistatus, response.content)
        for one in found:
            name, etag = self._name(one.href), one.text(xml.dav("getetag"))
            text = one.properties.find(xml.caldav("calendar-data")) if one.properties else None
            if name is None or name not in names:
                continue
            if one.status >= 400:
                if one.status in _GONE:
                    read.gone.add(name)
                else:
                    read.unclear[name] = f"the server answered {one.status} for it"
            elif text is None:
                read.unclear[name] = "the server does not give its content"
            elif not etag:
                read.unclear[name] = "the server gives it no ETag, without which no write is safe"
            else:
                # XML readers turn line ends into LF (XML 1.0, section 2.11); iCalendar's are CRLF.
                lines_ = text.text.replace("\r\n", "\n").replace("\n", "\r\n")
                read.versions[name] = Version(name, etag, lines_)

    def _cost(self, error: TaskError) -> str:
        """Return what a fault says that costs one resource. Raises it where the server itself fails."""
        if isinstance(error, TransientError):
            self._failures += 1
            if self._failures > _MOST_FAILURES:
                raise error
        return str(error)

    async def write(self, changes: Sequence[Write]) -> Sequence[Written]:
        """Make the changes, a few at a time, and read the versions that the server did not tell."""
        done = await asyncio.gather(*(self._write(change) for change in changes), return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome
        written = [outcome for outcome in done if isinstance(outcome, Written)]
        untold = {
            one.version.name: n
            for n, one in enumerate(written)
            if one.version is not None and not one.version.etag
        }
        read = await self.read([*untold])
        for name, n in untold.items():
            etag = await asyncio.to_thread(_etag_of_own, changes[n].text or "", read.versions.get(name))
            written[n] = Written(Version(name, etag))
        return written

    async def _write(self, change: Write) -> Written:
        async with self._gate:
            try:
                return await (self._delete(change) if change.text is None else self._put(change))
            except (InvalidInput, TransientError) as error:
                return Written(refused=self._cost(error))

    async def _put(self, change: Write) -> Written:
        assert change.text is not None  # noqa: S101 - see `_write`
        name = change.name or path_of(self._path + quote(file_name(change.uid, change.attempt)))
        condition = {"If-None-Match": "*"} if change.etag is None else {"If-Match": change.etag}
        response = await self._session.request(
            "PUT",
            name,
            content=change.text.encode(errors="replace"),
            headers={"Content-Type": _ICS, **condition},
            accept=(404, 412, *_NOT_THIS),
        )
        if response.status_code in (404, 412) or _says_taken(response):
            return Written(stale=_stale(change, response))
        if response.status_code >= 400:
            return Written(refused=f"the server answered {response.status_code}: {response.text[:200]}")
        return Written(Version(name, response.headers.get("ETag", "")))

    async def _delete(self, change: Write) -> Written:
        response = await self._session.request(
            "DELETE",
            str(change.name),
            headers={"If-Match": str(change.etag)},
            accept=(*_GONE, 412, *_NOT_THIS),
        )
        if response.status_code == 412:
            return Written(stale=_stale(change, response))
        if response.status_code in _NOT_THIS:
            return Written(refused=f"the server answered {response.status_code}: {response.text[:200]}")
        return Written()


def _says_taken(response: httpx2.Response) -> bool:
    """Another resource has the UID (RFC 4791, section 5.3.2.1): both sides are looked at anew."""
    return response.status_code in (403, 409) and b"no-uid-conflict" in response.content


def _stale(change: Write, response: httpx2.Response) -> str:
    if _says_taken(response):
        return "the server says that another resource has its UID (maybe one in its waste bin)"
    if change.etag is None:
        return "the server has resources of these names already"
    if change.etag.startswith("W/"):
        return "the server gives it a weak ETag only, and so takes no write on condition"
    return "it is changed by others again and again"


def _etag_of_own(text: str, there: Version | None) -> str:
    """Return the ETag of what is there if it is what was written.

    It may be another's version, or one that the server has changed itself: the next run looks at it.
    """
    try:
        same = there is not None and lines.look(there.text or "").mark == lines.look(text).mark
    except InvalidInput:
        same = False
    return there.etag if there is not None and same else UNKNOWN
