"""The pages, and the files that they are made with."""

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from hopyard.web.pages import (
    access,
    errors,
    failures,
    job,
    jobs,
    login,
    overview,
    people,
    plugins,
    queues,
    rendering,
    schedules,
    tasks,
    workers,
)

_SCREENS = (login, overview, jobs, job, failures, queues, schedules, workers, plugins, tasks, people, access)


class _Files(StaticFiles):
    """Our own style and scripts; their address changes with them, so that browsers need not ask again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def install(app: FastAPI) -> None:
    """Add the pages to an application."""
    for screen in _SCREENS:
        router: Any = screen.router
        app.include_router(router)
    if app.state.served.oidc is not None:
        from hopyard.web.pages import oidc  # it needs the extra `oidc`, which not everybody has

        app.include_router(oidc.router)
    folder = resources.files("hopyard.web") / "static"
    app.mount(f"/static/{rendering.version()}", _Files(directory=str(folder)))
    errors.install(app)
