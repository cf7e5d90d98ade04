"""Calendars on real CalDAV servers, as another client would use them: by plain requests."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from urllib.parse import quote, unquote, urljoin

from sync_servers import Dav


class DavCalendar:
    """A calendar of its own on a server, for one test."""

    def __init__(self, server: Dav, name: str) -> None:
        self.server = server
        self.url = f"{server.home}{name}/"
        self.request("MKCALENDAR", self.url)

    def request(self, method: str, url: str, body: str | None = None, **headers: str) -> bytes:
        """Make a request; return the answer's body. Raises `urllib.error.HTTPError`."""
        made = urllib.request.Request(url, data=body.encode() if body is not None else None, method=method)
        if self.server.user is not None:
            login = base64.b64encode(f"{self.server.user}:{self.server.password}".encode()).decode()
            made.add_header("Authorization", f"Basic {login}")
        for name, value in headers.items():
            made.add_header(name.replace("_", "-"), value)
        with urllib.request.urlopen(made, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def put(self, name: str, text: str) -> None:
        """Write a resource, whatever is there."""
        self.request("PUT", self.url + quote(name), text, Content_Type="text/calendar; charset=utf-8")

    def delete(self, name: str) -> None:
        """Delete a resource."""
        self.request("DELETE", self.url + quote(name))

    def texts(self) -> dict[str, str]:
        """Return all resources by name."""
        body = '<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
        found = ET.fromstring(
            self.request("PROPFIND", self.url, body, Depth="1", Content_Type="application/xml")
        )
        hrefs = [element.text or "" for element in found.iter("{DAV:}href")]
        urls = [urljoin(self.url, href) for href in hrefs if href.endswith(".ics")]
        return {unquote(url.rsplit("/", 1)[-1]): self.request("GET", url).decode() for url in urls}


def event(uid: str, title: str, *, stamp: str = "20260101T000000Z", more: str = "") -> str:
    """Return a resource with one event; `more` are more content lines."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Test//Test//EN",
        "BEGIN:VEVENT",
        f"UID:{uid}",
        f"DTSTAMP:{stamp}",
        f"LAST-MODIFIED:{stamp}",
        "DTSTART:20261201T090000Z",
        "DTEND:20261201T100000Z",
        f"SUMMARY:{title}",
        *more.splitlines(),
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{line}\r\n" for line in lines)
