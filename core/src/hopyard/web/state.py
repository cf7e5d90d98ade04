"""What the endpoints of one application share: its Hopyard, its ledger, who follows what."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.requests import HTTPConnection

from hopyard.errors import HopyardError
from hopyard.ledger.access import NewAct
from hopyard.ledger.database import Database
from hopyard.web.panels import PanelReader
from hopyard.web.record import Record
from hopyard.web.security import Keys, address_of
from hopyard.web.viewer import Viewer

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.tasks import Task
    from hopyard.web.live.hub import Hub
    from hopyard.web.oidc.provider import Provider

log = logging.getLogger("hopyard.web")

#: A plugin that was disabled elsewhere is served for so many seconds more, at most.
_LOOK_SECONDS: Final = 2.0


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
    tasks: dict[str, Task[..., Any]] = field(init=False)
    """Those that have endpoints, also while their plugins are out."""
    panels: PanelReader = field(default_factory=PanelReader)
    looked: float = -math.inf
    """When it was last looked which plugins are disabled, by the monotonic clock."""

    def __post_init__(self) -> None:
        self.tasks = dict(self.hopyard.tasks)

    @property
    def database(self) -> Database:
        """The running loop's connection to the ledger."""
        return self.hopyard.client().database

    async def look_again(self) -> None:
        """Follow what was disabled and enabled elsewhere, if that was not looked for lately.

        While the ledger is away things stay as they are.
        """
        now = time.monotonic()
        if now - self.looked < _LOOK_SECONDS:
            return
        self.looked = now  # others that come meanwhile do not wait for this
        try:
            await self.hopyard.look_again(self.database)
        except HopyardError as error:
            log.warning("whether plugins were disabled or enabled cannot be told: %s", error)

    def serves(self, plugin: str) -> bool:
        """Say whether a plugin's own routes can be used: it has some, and nobody has disabled it."""
        return plugin in self.routed and plugin in self.hopyard.plugins.names

    async def audit(
        self, request: HTTPConnection, viewer: Viewer, act: str, target: str, **data: Any
    ) -> None:
        """Keep what somebody does. Call it first: what nobody can account for is not done."""
        role, address = viewer.role.name.lower(), address_of(request)
        await self.record.keep(NewAct(viewer.name, role, act, target, data, address))


async def look_again(connection: HTTPConnection) -> None:
    """For `Depends` of all endpoints: each sees the plugins as they are in the ledger, or were just now."""
    await served(connection).look_again()


def served(connection: HTTPConnection) -> Served:
    """Return what the application shares, for `Depends` and for code that has the request."""
    return cast(Served, connection.app.state.served)


async def audit(request: HTTPConnection, viewer: Viewer, act: str, target: str, **data: Any) -> None:
    """Keep what somebody does over HTTP, as `hopyard web` shows it. Call it before it is done.

    Secrets in `data` are masked. Raises `LedgerError`: what nobody can account for is not done.
    """
    await served(request).audit(request, viewer, act, target, **data)
