"""What people were told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hopyard.ledger import readers
from hopyard.web.api.deps import Here, Reader
from hopyard.web.problems import Refused
from hopyard.web.state import Served
from hopyard.web.strict import Name
from hopyard.web.viewer import Viewer

router = APIRouter(tags=["people"])


class Inbox(BaseModel):
    """What a person was told, the newest first, with how each message was delivered."""

    notifications: list[dict[str, Any]]


@router.get("/inbox")
async def inbox(
    here: Here,
    viewer: Reader,
    person: Annotated[Name | None, Query(description="Whose; everybody's unless given.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Inbox:
    """List what was told."""
    if viewer.person is not None and person not in (None, viewer.person):
        raise Refused(403, f"this key is for {viewer.person}")
    return Inbox(notifications=await told(here, viewer, viewer.person or person, limit))


async def told(here: Served, viewer: Viewer, person: str | None, limit: int) -> list[dict[str, Any]]:
    """Return what a person, or everybody, was told. Raises `Refused` where the viewer may not know."""
    if viewer.plugins is not None:
        raise Refused(403, "this key is for some plugins only: what people are told is of all")
    return await readers.notifications(here.database, person=person, limit=limit)
