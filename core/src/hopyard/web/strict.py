"""Requests that say nothing that is not understood: a name that nobody knows is refused, never left out.

A misspelled filter would mean all jobs, a misspelled limit of a token none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from hopyard.checks import nearest, printable
from hopyard.web.problems import Refused
from hopyard.web.security import viewer_of


class Body(BaseModel):
    """What a request's body says; a field that there is not is refused."""

    model_config = ConfigDict(extra="forbid")


async def _exact(connection: HTTPConnection) -> None:
    """Raise `Refused` for a query or a body that the endpoint does not ask for."""
    route = connection.scope.get("route")
    dependant = getattr(route, "dependant", None)
    if dependant is None or viewer_of(connection) is None:  # who has not come in is told nothing else
        return
    known = dict(_asked(dependant))
    for name, times in Counter(name for name, _ in connection.query_params.multi_items()).items():
        if name not in known:
            close = nearest(name, known)
            meant = f"; did you mean `{close}`?" if close else ""
            raise Refused(422, f"query.{printable(name)[:80]}: there is no such parameter here{meant}")
        if times > 1 and not known[name]:
            raise Refused(422, f"query.{name}: given {times} times, expected once")
    if isinstance(connection, Request) and not _takes_body(route) and await connection.body():
        raise Refused(422, "this request has a body, which means nothing here: nothing was done")


def _asked(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the parameters of a query that an endpoint asks for, and whether each may come several times."""
    for field in dependant.query_params:
        yield field.alias, _is_list(field.field_info.annotation)
    for other in dependant.dependencies:
        yield from _asked(other)


def _is_list(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is_list(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return any(_is_list(one) for one in get_args(kind))
    return get_origin(kind) is list


def _takes_body(route: Any) -> bool:
    """Say whether an endpoint has a body, which it may also read by itself and describe (`openapi_extra`)."""
    return route.body_field is not None or "requestBody" in (route.openapi_extra or {})


#: What all endpoints ask for.
exact = Depends(_exact)
