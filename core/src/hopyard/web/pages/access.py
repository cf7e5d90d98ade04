"""Who may come in, and what was done by whom."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from hopyard.ledger import access
from hopyard.web.api.deps import Admin, Here
from hopyard.web.pages import rendering

router = APIRouter(include_in_schema=False)

_ACTS: Final = 100


@router.get("/access")
async def show(
    request: Request, here: Here, viewer: Admin, before: Annotated[int | None, Query(ge=0, le=2**62)] = None
) -> Response:
    """Show the keys, and what was done, the latest first."""
    acts = await access.acts(here.database, before=before, limit=_ACTS)
    return rendering.page(
        request,
        "access.html",
        rendering.ACCESS,
        keys=await access.listed(here.database),
        acts=acts,
        before=before,
        older=acts[-1].n if len(acts) == _ACTS else None,
        roles=access.ROLES,
        plugins=here.hopyard.plugins.names,
    )
