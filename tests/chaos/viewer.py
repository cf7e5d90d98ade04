"""Somebody who watches all jobs over HTTP during the siege, while what serves it is killed now and then."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import httpx2
from hopyard.ledger import access
from hopyard.specs import State
from servers import free_port

if TYPE_CHECKING:
    from chaos.place import Place

#: What serves it lives for so many seconds, and a stream that says nothing for so long is begun anew.
_LIFE: Final = 25.0
_SILENCE: Final = 20.0


class Viewer:
    """Follows `/api/stream/jobs`, and keeps what it was shown: the state of each job by its id."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._token = ""
        self._last: str | None = None
        self.shown: dict[str, str] = {}
        self.kills = self.connections = self.resets = 0
        self._calm = False

    async def watch(self) -> None:
        """Watch until told to end; whatever breaks the line, connect again."""
        database = self._place.hopyard.client().database
        _, self._token = await access.make(database, "token", "viewer", "viewer")
        while True:
            self._serve()
            try:
                async with asyncio.timeout(None if self._calm else _LIFE):
                    await self._follow()
            except TimeoutError:
                self._kill()
            except (httpx2.HTTPError, ValueError):  # the line is cut, perhaps within a message
                await asyncio.sleep(0.2)

    async def differences(self, within: float = 60.0) -> list[str]:
        """Return what is shown otherwise than the ledger has it, once all is told."""
        self._calm = True
        until = time.monotonic() + within
        while wrong := await self._wrong():
            if time.monotonic() > until:
                return wrong
            await asyncio.sleep(0.5)
        return []

    def end(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    async def _wrong(self) -> list[str]:
        rows = await self._place.rows(
            "SELECT id, state FROM job_history UNION ALL SELECT id, state FROM job_live"
        )
        said = {str(row["id"]): State(row["state"]).label for row in rows}
        return [
            f"I10: a viewer is shown job {id_} as {self.shown.get(id_)}, the ledger has it as {state}"
            for id_, state in said.items()
            if self.shown.get(id_) != state
        ]

    def _serve(self) -> None:
        if self._server is None or self._server.poll() is not None:
            self._server = self._place.start(
                "hopyard", "--set", f"web.port={self._port}", "web", "serve", log="web"
            )

    def _kill(self) -> None:
        if self._server is not None and not self._calm:
            self._server.kill()
            self._server.wait()
            self.kills += 1

    async def _follow(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        if self._last is not None:
            headers["Last-Event-ID"] = self._last
        base = f"http://127.0.0.1:{self._port}"
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=_SILENCE) as client:
            fresh = self._last is None
            async with client.stream("GET", "/api/stream/jobs") as answer:
                answer.raise_for_status()
                self.connections += 1
                event = ""
                async for line in answer.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        self._last = value
                    elif name == "event":
                        event = value
                    elif name == "data":
                        await self._told(client, event, json.loads(value))
                        if event == "ready" and fresh:
                            # Only now: what changes from here on is told.
                            await self._load(client)
                            fresh = False

    async def _told(self, client: httpx2.AsyncClient, event: str, data: dict[str, Any]) -> None:
        if event == "jobs":
            self.shown |= {job["id"]: job["state"] for job in data["jobs"]}
        elif event == "reset":
            self.resets += 1
            await self._load(client)

    async def _load(self, client: httpx2.AsyncClient) -> None:
        """Read all jobs, page by page."""
        cursor: str | None = None
        while True:
            page = await client.get(
                "/api/jobs", params={"limit": 1000, **({"cursor": cursor} if cursor else {})}
            )
            page.raise_for_status()
            found = page.json()
            self.shown |= {job["id"]: job["state"] for job in found["jobs"]}
            cursor = found["cursor"]
            if cursor is None:
                return
