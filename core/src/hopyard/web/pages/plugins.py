"""Plugins: their state and why, their tasks, their settings with where each value is from."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard import switching
from hopyard.errors import SwitchRefused
from hopyard.ledger import switches
from hopyard.loading import effective
from hopyard.web.api import plugins
from hopyard.web.api.deps import Here, Watcher
from hopyard.web.pages import rendering
from hopyard.web.problems import Refused
from hopyard.web.state import Served
from hopyard.web.viewer import Role, Viewer

router = APIRouter(include_in_schema=False)


@router.get("/plugins")
async def show_all(request: Request, here: Here, viewer: Watcher) -> Response:
    """Show all plugins."""
    found = (await plugins.list_plugins(here, viewer)).plugins
    return rendering.page(request, "plugins.html", rendering.PLUGINS, plugins=found)


@router.get("/plugins/{name}")
async def show(name: str, request: Request, here: Here, viewer: Watcher) -> Response:
    """Show a plugin."""
    all_ = (await plugins.list_plugins(here, viewer)).plugins
    found = next((one for one in all_ if one.name == name), None)
    if found is None:
        raise Refused(404, f"there is no plugin `{name[:80]}`")
    return rendering.page(
        request,
        "plugin.html",
        rendering.PLUGINS,
        plugin=found,
        tasks=[plugins.form(here, task) for task in found.tasks],
        panels=await here.panels.read(here.hopyard.plugins, name),
        settings=_settings(here, viewer, name),
        switch=await _switch(here, viewer, name),
    )


class Switch(NamedTuple):
    """Which button a plugin's page has, and which other plugins it concerns."""

    off: bool
    others: list[str]


async def _switch(here: Served, viewer: Viewer, name: str) -> Switch | None:
    """Return how a plugin can be switched; None where that cannot be, or not by this viewer."""
    if not viewer.may(Role.ADMIN) or viewer.plugins is not None:
        return None
    try:
        switching.check(here.hopyard, name)
    except SwitchRefused:
        return None
    off = name in await switches.disabled(here.database)
    loaded = here.hopyard.plugins
    return Switch(off, loaded.left_with(name) if off else loaded.requiring(name))


def _settings(here: Served, viewer: Viewer, name: str) -> list[dict[str, Any]] | None:
    """Return a plugin's settings with their sources; None for who may not see how it is set up.

    They name hosts and places, so that they are for those who run the installation.
    """
    if not viewer.may(Role.OPERATOR):
        return None
    begin = f"plugins.{name}."
    rows = effective(here.hopyard.settings, here.hopyard.plugins)
    return [row | {"key": row["key"].removeprefix(begin)} for row in rows if row["key"].startswith(begin)]
