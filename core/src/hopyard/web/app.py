"""Assembly of the ASGI application: the API, the live streams, the dashboard, and what plugins add."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware

from hopyard import current
from hopyard.ledger.database import Database
from hopyard.web import openapi, problems
from hopyard.web.api import (
    access,
    deadletters,
    health,
    jobs,
    people,
    plugins,
    queues,
    schedules,
    submitting,
    workers,
)
from hopyard.web.api.deps import of_plugin
from hopyard.web.live import streams
from hopyard.web.live.hub import Hub
from hopyard.web.oidc import check_installed
from hopyard.web.pages import routes as pages
from hopyard.web.record import Record
from hopyard.web.security import Guard, Keys
from hopyard.web.state import Served, look_again
from hopyard.web.strict import exact

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.web.oidc.provider import Provider

_ROUTERS = (jobs, queues, schedules, deadletters, workers, plugins, people, health, access)


def create_app(hopyard: Hopyard, *, prefix: str | None = None) -> FastAPI:
    """Return the application of one Hopyard; `prefix` is the path below which it is mounted.

    Mount it in another application, or serve it with any ASGI server in one process per core. Raises
    `PluginError` where `[web.oidc]` is set and what it needs is not installed.
    """

    def database() -> Database:
        return hopyard.client().database

    keys = Keys(database)
    hub = Hub(hopyard)
    state = Served(
        hopyard, keys, hub, Record(database), hopyard.settings.web.prefix if prefix is None else prefix
    )
    state.oidc = _provider(hopyard)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        current.use(hopyard)
        await hopyard.check_migrations()
        async with hub.following():
            yield
        await hopyard.close()

    app = FastAPI(
        title="Hopyard",
        version=metadata.version("hopyard"),
        summary="Background jobs: submit them, follow them, deal with them.",
        lifespan=lifespan,
        servers=[{"url": state.prefix}] if state.prefix else None,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
        dependencies=[Depends(look_again)],
        middleware=[Middleware(Guard, hopyard=hopyard, keys=keys, prefix=state.prefix)],
        default_response_class=problems.Strict,
    )
    app.state.served = state
    problems.install(app)
    for module in _ROUTERS:
        app.include_router(module.router, prefix="/api", dependencies=[exact])
    app.include_router(health.probes)
    app.include_router(submitting.router(hopyard), prefix="/api/background", dependencies=[exact])
    app.include_router(streams.router, prefix="/api", dependencies=[exact])
    app.include_router(openapi.router, prefix="/api")
    for name, router in hopyard.plugins.routes(APIRouter):
        app.include_router(
            router, prefix=f"/api/plugins/{name}", tags=[name], dependencies=[of_plugin(name), exact]
        )
        state.routed.add(name)
    pages.install(app)
    app.openapi = lambda: openapi.document(app, state.tasks)  # type: ignore[method-assign]  # FastAPI's own way
    return app


def _provider(hopyard: Hopyard) -> Provider | None:
    settings = hopyard.settings.web.oidc
    if settings is None:
        return None
    check_installed()
    from hopyard.web.oidc.provider import Provider

    return Provider(settings, hopyard.egress)
