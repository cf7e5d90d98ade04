"""A task: what it is for, and a form that submits a job of it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.web.api import plugins, submitting
from hopyard.web.api.deps import Here, Watcher
from hopyard.web.pages import forms, rendering

router = APIRouter(include_in_schema=False)


@router.get("/tasks/{name}")
async def show(name: str, request: Request, here: Here, viewer: Watcher) -> Response:
    """Show a task."""
    found = await plugins.show_task(name, here, viewer)
    return rendering.page(
        request,
        "task.html",
        rendering.PLUGINS,
        task=found,
        fields=forms.fields(found.arguments),
        path=f"/api/background{submitting.path_of(here.hopyard.task(name))}",
    )
