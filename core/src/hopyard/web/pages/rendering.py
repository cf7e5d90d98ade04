"""Pages from templates: what every page shows beside its own."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hopyard.web.pages import writing
from hopyard.web.security import viewer_of
from hopyard.web.state import Served, served
from hopyard.web.viewer import Role, Viewer


class Screen(NamedTuple):
    """A screen as the navigation has it; `key` leads to it behind `g`."""

    path: str
    title: str
    key: str


OVERVIEW: Final = Screen("/", "Overview", "o")
JOBS: Final = Screen("/jobs", "Jobs", "j")
FAILURES: Final = Screen("/failures", "Failures", "f")
QUEUES: Final = Screen("/queues", "Queues", "q")
SCHEDULES: Final = Screen("/schedules", "Schedules", "s")
WORKERS: Final = Screen("/workers", "Workers", "w")
PLUGINS: Final = Screen("/plugins", "Plugins", "p")
PEOPLE: Final = Screen("/people", "People", "e")
ACCESS: Final = Screen("/access", "Access", "a")


def screens(here: Served, viewer: Viewer) -> list[Screen]:
    """Return the screens that a viewer may open."""
    asks = here.serves("ai")
    if viewer.person is not None:
        return [PEOPLE._replace(title="Requests" if asks else "Inbox"), JOBS]
    found = [OVERVIEW, JOBS, FAILURES, QUEUES, SCHEDULES, WORKERS, PLUGINS]
    if asks:
        found.append(PEOPLE)
    return [*found, ACCESS] if viewer.may(Role.ADMIN) and viewer.plugins is None else found


def page(
    request: Request, template: str, screen: Screen | None = None, status: int = 200, **values: Any
) -> HTMLResponse:
    """Return a page made from a template."""
    here, viewer = served(request), viewer_of(request)

    def url(path: str, **query: Any) -> Markup:
        return writing.address(here.prefix, path, query)

    text = (
        _templates()
        .get_template(template)
        .render(
            url=url,
            static=url(f"/static/{version()}"),
            prefix=here.prefix,
            screen=screen,
            screens=[] if viewer is None else screens(here, viewer),
            viewer=viewer,
            operates=viewer is not None and viewer.person is None and viewer.may(Role.OPERATOR),
            submits=viewer is not None and viewer.may(Role.SUBMITTER),
            **values,
        )
    )
    # Halves of characters, which names may have, are in no encoding.
    return HTMLResponse(text.encode(errors="replace"), status, media_type="text/html; charset=utf-8")


@cache
def version() -> str:
    """Return what names the static files as they are now: browsers keep them until it changes."""
    found = hashlib.sha256()
    folder = resources.files("hopyard.web") / "static"
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:12]


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("hopyard.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=writing.final,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "data": writing.json_data,
        "json": writing.json_text,
        "pairs": writing.pairs,
        "listed": writing.listed,
        "number": writing.number,
        "part": writing.part,
        "span": writing.span,
        "timed": writing.timed,
        "verbatim": writing.verbatim,
        "when": writing.when,
    }
    return made
