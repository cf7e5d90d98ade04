"""The OpenAPI document: FastAPI's, with the types of the tasks' arguments, and how one comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from hopyard.web.api.deps import Here, Reader
from hopyard.web.api.submitting import path_of, schemas
from hopyard.web.problems import ByValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hopyard.tasks import Task
    from hopyard.web.viewer import Viewer

router = APIRouter()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, here: Here, viewer: Reader) -> JSONResponse:
    """Return the document, with the tasks that concern whoever asks."""
    return ByValue(_for(viewer, request.app.openapi(), here.tasks))


def document(app: FastAPI, tasks: Mapping[str, Task[..., Any]]) -> dict[str, Any]:
    """Return the document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, servers=app.servers
        )
        components = made.setdefault("components", {})
        for name in sorted(tasks):
            components.setdefault("schemas", {}).update(schemas(tasks[name])[1])
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _for(viewer: Viewer, whole: dict[str, Any], tasks: Mapping[str, Task[..., Any]]) -> dict[str, Any]:
    """Return the document without tasks of other plugins than the viewer's."""
    others = [task for name, task in tasks.items() if not viewer.concerns(name)]
    paths = {f"/api/background{path_of(task)}" for task in others}
    names = tuple(f"{task.name}." for task in others)
    components = dict(whole["components"])
    components["schemas"] = {
        name: schema for name, schema in components.get("schemas", {}).items() if not name.startswith(names)
    }
    left = {path: found for path, found in whole["paths"].items() if path not in paths}
    return whole | {"paths": left, "components": components}
