"""The live streams: server-sent events and WebSockets, with the same messages.

Connect, wait for `ready`, load what you show, and put what comes on top of it. Events are `jobs` (`jobs`, as
they are now; `gone`, ids that are no longer of the filter), `progress`, `log`, `overview`; `reset` means:
load anew. Each comes four times a second at most, with the latest of each job. Who connects again with the
last id (`Last-Event-ID`, or `?last=`) is told what changed meanwhile, within the hour, and needs to load
nothing unless told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, WebSocket
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from hopyard.errors import UnknownJob
from hopyard.web.api.deps import Here, Reader, Watcher, seen_job
from hopyard.web.api.jobs import Filtered
from hopyard.web.live.viewing import Message, Viewing
from hopyard.web.problems import Refused, closing
from hopyard.web.security import viewer_of
from hopyard.web.state import Served, served
from hopyard.web.viewer import Viewer

router = APIRouter(tags=["live"])

#: After so many seconds without a message a line is sent, by which both ends see that the other is there.
_QUIET: Final = 15.0
_QUIET_TEXT: Final = '{"event": "quiet", "id": null, "data": {}}'
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}


def _place(
    last_event_id: Annotated[
        str | None, Header(description="The id of the last message that was seen, to go on from there.")
    ] = None,
    last: Annotated[str | None, Query(max_length=30, description="The same, for whom no header is.")] = None,
) -> int | None:
    """Return the id of the last message somebody has seen; of what is no id all has to be loaded anew."""
    given = last_event_id or last
    if given is None:
        return None
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else -1


Place = Annotated[int | None, Depends(_place)]


@router.get("/stream/jobs", responses=_STREAM, response_class=StreamingResponse)
async def stream_jobs(viewer: Reader, here: Here, asked: Filtered, last: Place) -> StreamingResponse:
    """Tell which jobs of a filter change, four times a second at most."""
    return await _sse(here, Viewing(viewer, last=last, wanted=asked.filter(viewer)))


@router.get("/stream/jobs/{job}", responses=_STREAM, response_class=StreamingResponse)
async def stream_job(job: str, viewer: Reader, here: Here, last: Place) -> StreamingResponse:
    """Tell a job's state, progress and log lines as they come."""
    return await _sse(here, Viewing(viewer, last=last, job=(await seen_job(here, viewer, job)).id))


@router.get("/stream/overview", responses=_STREAM, response_class=StreamingResponse)
async def stream_overview(viewer: Watcher, here: Here, last: Place) -> StreamingResponse:
    """Tell the counts of live jobs, and of those that ended in the last hour, once a second."""
    return await _sse(here, Viewing(viewer, last=last, overview=True))


@router.websocket("/ws/jobs")
async def ws_jobs(socket: WebSocket, asked: Filtered, last: Place) -> None:
    """As `/stream/jobs`."""
    viewer = await _welcome(socket)
    if viewer is None:
        return
    try:
        wanted = asked.filter(viewer)
    except Refused as refused:
        await socket.close(1008, closing(str(refused.detail)))
        return
    await _ws(socket, Viewing(viewer, last=last, wanted=wanted))


@router.websocket("/ws/jobs/{job}")
async def ws_job(socket: WebSocket, job: str, last: Place) -> None:
    """As `/stream/jobs/{job}`."""
    viewer = await _welcome(socket)
    if viewer is None:
        return
    try:
        id_ = (await seen_job(served(socket), viewer, job)).id
    except UnknownJob as error:
        await socket.close(1008, closing(str(error)))
        return
    await _ws(socket, Viewing(viewer, last=last, job=id_))


@router.websocket("/ws/overview")
async def ws_overview(socket: WebSocket, last: Place) -> None:
    """As `/stream/overview`."""
    viewer = await _welcome(socket)
    if viewer is not None and viewer.person is None:
        await _ws(socket, Viewing(viewer, last=last, overview=True))
    elif viewer is not None:
        await socket.close(1008, "this key is for one person's own requests")


async def _welcome(socket: WebSocket) -> Viewer | None:
    viewer = viewer_of(socket)
    await socket.accept()
    if viewer is None:
        await socket.close(1008, "log in, or send a token")
    return viewer


async def _sse(here: Served, viewing: Viewing) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        with here.hub.viewing(viewing):
            async for message in viewing.messages(_QUIET):
                yield ": still here\n\n" if message is None else _event(message)

    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


async def _ws(socket: WebSocket, viewing: Viewing) -> None:
    leaving = asyncio.create_task(_until_gone(socket, viewing), name="hopyard-web-socket")
    try:
        with served(socket).hub.viewing(viewing):
            async for message in viewing.messages(_QUIET):
                await socket.send_text(_QUIET_TEXT if message is None else _frame(message))
        await socket.close(1001)
    except (WebSocketDisconnect, RuntimeError):
        return  # the other side has left; Starlette says so by either
    finally:
        leaving.cancel()
        await asyncio.wait([leaving])


async def _until_gone(socket: WebSocket, viewing: Viewing) -> None:
    """Read what nobody needs to send, until the other side leaves: then there is nobody to be told."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        continue
    viewing.end()


def _event(message: Message) -> str:
    number = "" if message.place is None else f"id: {message.place}\n"
    return f"{number}event: {message.event}\ndata: {message.data}\n\n"


def _frame(message: Message) -> str:
    number = "null" if message.place is None else str(message.place)
    return f'{{"event": "{message.event}", "id": {number}, "data": {message.data}}}'
