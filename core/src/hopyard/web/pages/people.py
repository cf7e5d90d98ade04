"""What people asked for, what they were told, and what waits for their approval."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.web.api.deps import Here, Reader
from hopyard.web.api.people import told
from hopyard.web.pages import rendering, writing

router = APIRouter(include_in_schema=False)


@router.get("/people")
async def show(request: Request, here: Here, viewer: Reader, person: str = "") -> Response:
    """Show the requests of a person, or of all; who may see one person's only sees these."""
    who = viewer.person or person.strip()[:200] or None
    return rendering.page(
        request,
        "people.html",
        rendering.PEOPLE,
        who=who,
        people=[] if viewer.person is not None else sorted(here.hopyard.settings.people),
        asks=here.serves("ai"),
        stream=writing.plain_address(here.prefix, "/api/stream/jobs", {"person": who} if who else {}),
        told=await told(here, viewer, who, 50) if viewer.plugins is None else None,
    )
