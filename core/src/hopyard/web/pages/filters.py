"""The filter of the list of jobs, as it stands in the page's address: forms leave fields empty, and say
times without a zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from starlette.datastructures import QueryParams

from hopyard.ledger.read.listing import JobFilter
from hopyard.specs import State
from hopyard.web.api.jobs import Asked
from hopyard.web.viewer import Viewer

_TEXTS: Final = {
    "task": 200,
    "queue": 200,
    "person": 200,
    "schedule": 200,
    "parent": 200,
    "error": 500,
    "fingerprint": 12,
}
_TIMES: Final = ("since", "until")
LIVE: Final = tuple(state.label for state in State if not state.final)
STATES: Final = tuple(state.label for state in State)


class Filtered(NamedTuple):
    """A filter: as it was asked for, as a query says it, and what of it cannot be read."""

    asked: Asked
    query: dict[str, Any]
    faults: list[str]

    def filter(self, viewer: Viewer) -> JobFilter:
        """Return the filter for what the viewer may see."""
        return self.asked.filter(viewer)

    def of(self, states: tuple[str, ...]) -> dict[str, Any] | None:
        """Return the query narrowed to these states; None where nothing is left."""
        wanted = [one for one in states if not self.query.get("state") or one in self.query["state"]]
        return {**self.query, "state": wanted} if wanted else None


def read(params: QueryParams) -> Filtered:
    """Read a filter from a page's query."""
    faults: list[str] = []
    query: dict[str, Any] = {}
    unknown = {*params} - {"state", "plugin", "cursor", *_TEXTS, *_TIMES}
    faults += [f"{name[:80]}: there is no such filter" for name in sorted(unknown)]
    no_states = {*params.getlist("state")} - {*STATES, ""}
    faults += [f"state: there is no state {one[:80]}" for one in sorted(no_states)]
    states = [one for one in dict.fromkeys(params.getlist("state")) if one in STATES]
    if states:
        query["state"] = states
    plugins = [one[:200] for one in dict.fromkeys(params.getlist("plugin")) if one][:20]
    if plugins:
        query["plugin"] = plugins
    query |= {
        name: params[name].strip()[:most] for name, most in _TEXTS.items() if params.get(name, "").strip()
    }
    times = {name: at for name in _TIMES if (at := _time(name, params.get(name, ""), faults))}
    query |= {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in times.items()}
    asked = Asked(**{**query, **times})
    return Filtered(asked, query, faults)


def _time(name: str, text: str, faults: list[str]) -> datetime | None:
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(f"{name}: not a time; write it as 2027-01-31T08:00")
        return None
