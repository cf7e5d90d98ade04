"""The OpenAPI document: FastAPI's, with the types of the tasks' arguments, and how one comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hopyard.web.api.submitting import schemas

if TYPE_CHECKING:
    from hopyard.app import Hopyard


def document(app: FastAPI, hopyard: Hopyard) -> dict[str, Any]:
    """Return the document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, servers=app.servers
        )
        components = made.setdefault("components", {})
        for name in sorted(hopyard.tasks):
            components.setdefault("schemas", {}).update(schemas(hopyard.tasks[name])[1])
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        app.openapi_schema = made
    return app.openapi_schema
