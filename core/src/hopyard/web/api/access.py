"""Tokens, sessions, and what was done by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from hopyard.ledger import access
from hopyard.web.api.deps import Admin, Here, Reader
from hopyard.web.problems import ByValue, Refused
from hopyard.web.strict import Body, Name

router = APIRouter(tags=["access"])


class Me(BaseModel):
    """Who asks, and what they may do."""

    name: str
    role: str
    plugins: list[str] | None
    person: str | None


class KeyState(BaseModel):
    """A token or a session."""

    id: str
    kind: str
    name: str
    role: str
    plugins: list[str] | None
    person: str | None
    created: datetime
    expires: datetime | None
    used: datetime | None


class KeysState(BaseModel):
    """All tokens and sessions, the newest first."""

    keys: list[KeyState]


class NewToken(Body):
    """A token to be made."""

    name: Name
    role: Literal["viewer", "submitter", "operator", "admin"]
    plugins: list[str] | None = Field(
        None, min_length=1, description="Only what concerns these plugins; null: all."
    )
    person: Name | None = Field(None, description="Only what is done for this person.")
    days: float | None = Field(
        None, strict=True, ge=0.001, le=3660, description="How long it lasts; null: until revoked."
    )


class MadeToken(BaseModel):
    """A token that was made. It is shown this once."""

    id: str
    token: str


class Revoked(BaseModel):
    """The key that was revoked."""

    id: str


class Acts(BaseModel):
    """What was done, the latest first; `before` of the next request is the last one's `n`."""

    acts: list[access.Act]


@router.get("/me")
async def me(viewer: Reader) -> Me:
    """Say who asks."""
    return Me(
        name=viewer.name,
        role=viewer.role.name.lower(),
        plugins=None if viewer.plugins is None else [*viewer.plugins],
        person=viewer.person,
    )


@router.get("/tokens")
async def list_keys(here: Here, viewer: Admin) -> KeysState:
    """List tokens and sessions; the secrets are nowhere."""
    return KeysState(
        keys=[
            KeyState(
                id=one.id,
                kind=one.kind,
                name=one.name,
                role=one.role,
                plugins=None if one.plugins is None else [*one.plugins],
                person=one.person,
                created=one.created,
                expires=one.expires,
                used=one.used,
            )
            for one in await access.listed(here.database)
        ]
    )


@router.post("/tokens", status_code=201, response_class=ByValue)
async def make_token(wanted: NewToken, request: Request, here: Here, viewer: Admin) -> MadeToken:
    """Make a token."""
    known = {record.name for record in here.hopyard.plugins.records}
    unknown = next((name for name in wanted.plugins or () if name not in known), None)
    if unknown is not None:
        raise Refused(422, f"plugins: there is no plugin `{unknown[:80]}`; such a token would see nothing")
    await here.audit(request, viewer, "make token", wanted.name, **wanted.model_dump(exclude={"name"}))
    id_, token = await access.make(
        here.database,
        "token",
        wanted.name,
        wanted.role,
        plugins=wanted.plugins,
        person=wanted.person,
        seconds=None if wanted.days is None else wanted.days * 86_400,
    )
    return MadeToken(id=id_, token=token)


@router.delete("/tokens/{id}")
async def revoke(id: str, request: Request, here: Here, viewer: Admin) -> Revoked:  # noqa: A002 - the path's name
    """Revoke a token or a session, with the sessions that were made of it."""
    if not await access.known(here.database, id):
        raise Refused(404, f"there is no key `{id[:80]}`")
    await here.audit(request, viewer, "revoke", id)
    await access.revoke(here.database, id)
    here.keys.forget()
    here.hub.keys_changed()
    return Revoked(id=id)


@router.get("/audit")
async def audit(
    here: Here,
    viewer: Admin,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Acts:
    """Say what was done over HTTP, and by whom."""
    return Acts(acts=await access.acts(here.database, before=before, limit=limit))
