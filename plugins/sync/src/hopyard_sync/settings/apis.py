"""Settings of REST APIs: how to be let in, how to turn pages, what a row is."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from hopyard import PluginSettings
from hopyard.fields import BaseUrl, Credential, Origin, Secret
from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from hopyard_sync.settings.common import Connection, OAuth2

#: Such as a parameter, or a path into JSON.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
StreamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", value) or value.lower() in _OURS:
        raise ValueError(
            f"expected the name of a header, such as X-Tenant, and none of {', '.join(sorted(_OURS))}"
        )
    return value


#: What a request says of itself.
_OURS: Final = frozenset({"connection", "content-length", "content-type", "host", "transfer-encoding"})
HeaderName = Annotated[str, AfterValidator(_header)]


class NoAuth(PluginSettings):
    """Anybody is let in."""

    kind: Literal["none"] = "none"


class BearerAuth(PluginSettings):
    """`Authorization: Bearer …`."""

    kind: Literal["bearer"]
    token: Credential = Field(description="Of the API.")


class BasicAuth(PluginSettings):
    """`Authorization: Basic …`."""

    kind: Literal["basic"]
    user: str = Field(min_length=1, pattern=r"^[^:\x00-\x1f]+$", description="The name.")
    password: Secret = Field(description="The password.")


class HeaderKey(PluginSettings):
    """A key in a header of one's own."""

    kind: Literal["header"]
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,100}$", description="The header, such as X-API-Key.")
    key: Credential = Field(description="Its value.")


class QueryKey(PluginSettings):
    """A key in the address."""

    kind: Literal["query"]
    name: str = Field(min_length=1, description="The parameter, such as api_key.")
    key: Secret = Field(description="Its value.")


class OAuth2Auth(OAuth2):
    """Access tokens, renewed when they run out."""

    kind: Literal["oauth2"]


Auth = Annotated[
    NoAuth | BearerAuth | BasicAuth | HeaderKey | QueryKey | OAuth2Auth, Field(discriminator="kind")
]


class OnePage(PluginSettings):
    """All rows come at once."""

    kind: Literal["none"] = "none"


class _Sized(PluginSettings):
    size: int = Field(100, ge=1, le=10_000, description="Rows a page.")
    size_parameter: str | None = Field(
        "limit", max_length=200, description='Which parameter says so; "" for none.'
    )

    @model_validator(mode="after")
    def _two_parameters(self) -> Self:
        if self.size_parameter and self.size_parameter == getattr(self, "parameter", None):
            raise ValueError("expected a `parameter` other than `size_parameter`")
        return self


class _Counted(_Sized):
    short_is_last: bool = Field(
        False,
        description="A page with fewer rows than `size` is the last one, which saves a request. Only for "
        "servers that give as many as they are asked for.",
    )


class PageNumbers(_Counted):
    """Pages are numbered; behind the last one comes an empty one, or none."""

    kind: Literal["page"]
    parameter: Name = Field("page", description="The parameter with the number.")
    first: int = Field(1, ge=0, description="The first page's number.")


class Offsets(_Counted):
    """Pages begin at a row's number; behind the last row comes an empty one, or none."""

    kind: Literal["offset"]
    parameter: Name = Field("offset", description="The parameter with the number of the first row.")


class BodyCursor(_Sized):
    """The answer has a cursor for the next page in it."""

    kind: Literal["cursor"]
    path: Name = Field(description="Where the answer has it, such as meta.next_cursor.")
    parameter: Name = Field("cursor", description="The parameter that takes it.")


class LinkHeader(_Sized):
    """The answer has a Link header with rel="next" (RFC 8288)."""

    kind: Literal["link"]


class NextUrl(_Sized):
    """The answer has the next page's address in it."""

    kind: Literal["next_url"]
    path: Name = Field(description="Where the answer has it, such as paging.next.")


Pagination = Annotated[
    OnePage | PageNumbers | Offsets | BodyCursor | LinkHeader | NextUrl, Field(discriminator="kind")
]


class Increment(PluginSettings):
    """Only what changed since the last complete run is read."""

    field: Name = Field(description="Where a row says when it changed, or its growing number.")
    parameter: Name = Field(description="Which parameter takes the last one that was seen.")
    start: str | int | None = Field(None, description="What it is the first time; left out unless given.")
    overlap: float = Field(
        0.0, ge=0, le=86_400 * 31, description="Seconds by which times are set back, for rows that came late."
    )


class Stream(PluginSettings):
    """Rows of one kind."""

    path: str = Field(description="Behind the API's address, such as /orders.")
    method: Literal["GET", "POST"] = Field("GET", description="POST sends `body` as JSON.")
    query: dict[str, str] = Field(default_factory=dict, description="Parameters of each request.")
    body: dict[str, Any] | None = Field(None, description="Of POST requests.")
    rows: str = Field("", description="Where the answer has the list, such as data.items; empty: it is it.")
    key: Name | Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        "id", description="Where a row has what it is known by."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="What is stored, by name: the path in the row. None: all of it."
    )
    required: tuple[str, ...] = Field((), description="Columns without which a row is set aside.")
    pagination: Pagination = Field(default_factory=OnePage, description="How pages are turned.")
    increment: Increment | None = Field(None, description="How only what changed is read.")
    removes: bool = Field(
        False, description="Remove rows that a complete run has not seen; not together with `increment`."
    )
    max_pages: int = Field(
        10_000, ge=1, le=1_000_000, description="Pages of one pass, which may take several runs."
    )

    @field_validator("path")
    @classmethod
    def _below(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith("//"):
            raise ValueError("expected a path that begins with one /")
        if {"?", "#"} & {*value} or {".", ".."} & {*value.split("/")} or not value.isprintable():
            raise ValueError("expected a path without ?, # and ..; parameters belong into `query`")
        return value

    @field_validator("removes")
    @classmethod
    def _whole(cls, value: bool, info: Any) -> bool:
        if value and info.data.get("increment") is not None:
            raise ValueError("expected false, for with `increment` a run never sees all rows")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.body is not None and self.method == "GET":
            raise ValueError("`body` is for POST: expected `method` to be POST")
        if self.columns and (unknown := {*self.required} - self.columns.keys()):
            raise ValueError(f"`required` names {', '.join(sorted(unknown))}: expected some of `columns`")
        if len({*self.keys}) < len(self.keys):
            raise ValueError("expected each part of `key` once")
        self._check_parameters()
        return self

    def _check_parameters(self) -> None:
        own = [
            *self.query,
            *filter(None, (getattr(self.pagination, n, "") for n in ("parameter", "size_parameter"))),
            *([self.increment.parameter] if self.increment else []),
        ]
        if twice := sorted({name for name in own if own.count(name) > 1}):
            raise ValueError(
                f"the parameter {', '.join(twice)} is said twice: expected `query`, `pagination` and "
                "`increment` to name different ones"
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """The paths of the key's parts."""
        return (self.key,) if isinstance(self.key, str) else self.key


class ApiConnection(Connection):
    """A REST API and its streams."""

    url: BaseUrl = Field(description="What all paths begin with.")
    auth: Auth = Field(default_factory=NoAuth, description="How one is let in.")
    headers: dict[HeaderName, Secret] = Field(
        default_factory=dict, description="Of each request; shown nowhere, for some are secrets."
    )
    streams: dict[StreamName, Stream] = Field(description="What is read, by name: one at least.")
    requests_per_second: float | None = Field(
        None, ge=1e-4, le=1000, description="Of all workers together; as many as one run makes unless given."
    )
    allow_origins: tuple[Origin, ...] = Field(
        (), description="Where next pages may lead beside the API itself; credentials go there too."
    )
    most_deletions: float = Field(
        0.5, gt=0, le=1, description="The share of a stream's rows that one run may remove."
    )
    max_bytes: int = Field(20_000_000, ge=1000, le=500_000_000, description="The longest answer.")
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds for one answer.")

    @field_validator("streams")
    @classmethod
    def _one_at_least(cls, value: dict[str, Stream]) -> dict[str, Stream]:
        if not value:
            raise ValueError("expected one stream at least")
        return value
