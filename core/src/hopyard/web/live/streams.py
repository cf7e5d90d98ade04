"""The live streams: server-sent events and WebSockets, with the same messages.

A message has an event, data, and an id where it tells of changes: who connects again with the last id
(`Last-Event-ID`, or `?last=`) is told what changed meanwhile, within the hour. `reset` means: load anew what
you show. `ready` comes once all that was missed is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from hopyard.display import to_json
from hopyard.ledger.finding import find_job
from hopyard.ledger.read.summary import summaries
from hopyard.redaction import masked
from hopyard.specs import State
from hopyard.web.live.viewing import Message, Viewing
from hopyard.web.problems import Refused
from hopyard.web.security import needs, unscoped, viewer_of
from hopyard.web.state import Served, served
from hopyard.web.viewer import Role, Viewer

router = APIRouter(tags=["live"])

#: After so many seconds without a message a line is sent, by which both ends see that the other is there.
_QUIET: Final = 15.0
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}

Reader = Annotated[Viewer, needs(Role.VIEWER)]
Here = Annotated[Served, Depends(served)]


def _filtered(
    state: Annotated[list[str] | None, Query(description="Only these states.")] = None,
    task: str | None = None,
    queue: str | None = None,
    person: str | None = None,
    plugin: Annotated[list[str] | None, Query(description="Only tasks of these plugins.")] = None,
    error: str | None = None,
) -> dict[str, Any]:
    states = tuple(one for one in State if one.label in (state or ()))
    return {
        "states": states,
        "task": task,
        "queue": queue,
        "person": person,
        "error": error,
        **({"plugins": plugin} if plugin else {}),
    }


Wanted = Annotated[dict[str, Any], Depends(_filtered)]


@router.get("/stream/jobs", responses=_STREAM, response_class=StreamingResponse)
async def stream_jobs(request: Request, viewer: Reader, here: Here, wanted: Wanted) -> StreamingResponse:
    """Tell which jobs of a filter change, four times a second at most."""
    return await _sse(request, here, Viewing(viewer, wanted=viewer.narrowed(**wanted)))


@router.get("/stream/jobs/{job}", responses=_STREAM, response_class=StreamingResponse)
async def stream_job(request: Request, job: str, viewer: Reader, here: Here) -> StreamingResponse:
    """Tell a job's state, progress and log lines as they come."""
    return await _sse(request, here, Viewing(viewer, job=await _seen(here, viewer, job)))


@router.get("/stream/overview", responses=_STREAM, response_class=StreamingResponse)
async def stream_overview(request: Request, viewer: Reader, here: Here) -> StreamingResponse:
    """Tell the counts of live jobs, and of those that ended in the last hour, once a second."""
    unscoped(viewer)
    return await _sse(request, here, Viewing(viewer, overview=True))


@router.websocket("/ws/jobs")
async def ws_jobs(socket: WebSocket, wanted: Wanted) -> None:
    """As `/stream/jobs`."""
    viewer = await _welcome(socket)
    if viewer is not None:
        await _ws(socket, Viewing(viewer, wanted=viewer.narrowed(**wanted)))


@router.websocket("/ws/jobs/{job}")
async def ws_job(socket: WebSocket, job: str) -> None:
    """As `/stream/jobs/{job}`."""
    viewer = await _welcome(socket)
    if viewer is None:
        return
    try:
        id_ = await _seen(served(socket), viewer, job)
    except Refused as refused:
        await socket.close(1008, str(refused.detail)[:100])
        return
    await _ws(socket, Viewing(viewer, job=id_))


@router.websocket("/ws/overview")
async def ws_overview(socket: WebSocket) -> None:
    """As `/stream/overview`."""
    viewer = await _welcome(socket)
    if viewer is not None and viewer.person is None:
        await _ws(socket, Viewing(viewer, overview=True))
    elif viewer is not None:
        await socket.close(1008, "this key is for one person's own requests")


async def _welcome(socket: WebSocket) -> Viewer | None:
    viewer = viewer_of(socket)
    await socket.accept()
    if viewer is None:
        await socket.close(1008, "log in, or send a token")
    return viewer


async def _seen(here: Served, viewer: Viewer, job: str) -> str:
    """Return the id of a job that the viewer may see. Raises `Refused`: all else is not there."""
    id_ = await find_job(here.database, job)
    found = await summaries(here.database, [id_])
    if not found or not viewer.sees(found[0].task, found[0].person):
        raise Refused(404, f"there is no job {job[:80]}")
    return id_


def _last(connection: HTTPConnection) -> int | None:
    """Return the id of the last message somebody has seen."""
    given = connection.headers.get("last-event-id") or connection.query_params.get("last")
    if given is None:
        return None
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else -1


async def _sse(request: Request, here: Served, viewing: Viewing) -> StreamingResponse:
    last = _last(request)

    async def body() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        async for message in _told(here, viewing, last):
            yield ": still here\n\n" if message is None else _event(message)

    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


async def _told(here: Served, viewing: Viewing, last: int | None) -> AsyncIterator[Message | None]:
    """Yield what a viewer is told, for as long as their key opens."""
    with here.hub.viewing(viewing):
        await here.hub.begun(viewing, last)
        async for message in viewing.messages(_QUIET):
            if message is None and not await here.keys.still(viewing.viewer):
                return
            yield message


async def _ws(socket: WebSocket, viewing: Viewing) -> None:
    here = served(socket)
    try:
        async for message in _told(here, viewing, _last(socket)):
            if message is None:
                await socket.send_text(to_json({"event": "quiet", "at": datetime.now(UTC).isoformat()}))
            else:
                told = {"event": message.event, "id": message.place, "data": message.data}
                await socket.send_text(to_json(masked(_plain(told))))
        await socket.close(1001)
    except (WebSocketDisconnect, RuntimeError):
        return  # the other side has left; Starlette says so by either


def _event(message: Message) -> str:
    number = "" if message.place is None else f"id: {message.place}\n"
    return f"{number}event: {message.event}\ndata: {to_json(masked(_plain(message.data)))}\n\n"


def _plain(value: Any) -> Any:
    """Return a message's data with times as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, State):
        return value.label
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
