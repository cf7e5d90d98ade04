"""What the endpoints of one application share: its Hopyard, its ledger, who follows what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import HTTPConnection

from hopyard.ledger.access import NewAct
from hopyard.ledger.database import Database
from hopyard.web.record import Record
from hopyard.web.security import Keys, address_of
from hopyard.web.viewer import Viewer

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.web.live.hub import Hub
    from hopyard.web.oidc.provider import Provider


@dataclass(slots=True)
class Served:
    """One Hopyard as it is served; several may be in one process, each below a path of its own."""

    hopyard: Hopyard
    keys: Keys
    hub: Hub
    record: Record
    prefix: str
    routed: set[str] = field(default_factory=set)
    """The plugins that serve routes of their own."""
    oidc: Provider | None = None
    """The provider by which people log in; None unless `[web.oidc]` names one."""

    @property
    def database(self) -> Database:
        """The running loop's connection to the ledger."""
        return self.hopyard.client().database

    async def audit(
        self, request: HTTPConnection, viewer: Viewer, act: str, target: str, **data: Any
    ) -> None:
        """Keep what somebody does. Call it first: what nobody can account for is not done."""
        role, address = viewer.role.name.lower(), address_of(request)
        await self.record.keep(NewAct(viewer.name, role, act, target, data, address))


def served(connection: HTTPConnection) -> Served:
    """Return what the application shares, for `Depends` and for code that has the request."""
    return cast(Served, connection.app.state.served)


async def audit(request: HTTPConnection, viewer: Viewer, act: str, target: str, **data: Any) -> None:
    """Keep what somebody does over HTTP, as `hopyard web` shows it. Call it before it is done.

    Secrets in `data` are masked. Raises `LedgerError`: what nobody can account for is not done.
    """
    await served(request).audit(request, viewer, act, target, **data)
