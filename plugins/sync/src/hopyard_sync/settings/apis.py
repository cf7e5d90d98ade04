"""Settings of REST APIs: how to be let in, how to turn pages, what a row is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from hopyard import PluginSettings
from pydantic import Field, SecretStr, field_validator

from hopyard_sync.settings.common import Connection, OAuth2, Url


class NoAuth(PluginSettings):
    """Anybody is let in."""

    kind: Literal["none"] = "none"


class BearerAuth(PluginSettings):
    """`Authorization: Bearer …`."""

    kind: Literal["bearer"]
    token: SecretStr = Field(description="Of the API.")


class BasicAuth(PluginSettings):
    """`Authorization: Basic …`."""

    kind: Literal["basic"]
    user: str = Field(description="The name.")
    password: SecretStr = Field(description="The password.")


class HeaderKey(PluginSettings):
    """A key in a header of one's own."""

    kind: Literal["header"]
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,100}$", description="The header, such as X-API-Key.")
    key: SecretStr = Field(description="Its value.")


class QueryKey(PluginSettings):
    """A key in the address."""

    kind: Literal["query"]
    name: str = Field(min_length=1, description="The parameter, such as api_key.")
    key: SecretStr = Field(description="Its value.")


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
    size_parameter: str | None = Field("limit", description="Which parameter says so; None: none.")


class PageNumbers(_Sized):
    """Pages are numbered; the last one is empty, or shorter than the others where it says so."""

    kind: Literal["page"]
    parameter: str = Field("page", description="The parameter with the number.")
    first: int = Field(1, ge=0, description="The first page's number.")


class Offsets(_Sized):
    """Pages begin at a row's number."""

    kind: Literal["offset"]
    parameter: str = Field("offset", description="The parameter with the number of the first row.")


class BodyCursor(_Sized):
    """The answer has a cursor for the next page in it."""

    kind: Literal["cursor"]
    path: str = Field(description="Where the answer has it, such as meta.next_cursor.")
    parameter: str = Field("cursor", description="The parameter that takes it.")


class LinkHeader(_Sized):
    """The answer has a Link header with rel="next" (RFC 8288)."""

    kind: Literal["link"]


class NextUrl(_Sized):
    """The answer has the next page's address in it."""

    kind: Literal["next_url"]
    path: str = Field(description="Where the answer has it, such as paging.next.")


Pagination = Annotated[
    OnePage | PageNumbers | Offsets | BodyCursor | LinkHeader | NextUrl, Field(discriminator="kind")
]


class Increment(PluginSettings):
    """Only what changed since the last complete run is read."""

    field: str = Field(description="Where a row says when it changed, or its growing number.")
    parameter: str = Field(description="Which parameter takes the last one that was seen.")
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
    key: str | tuple[str, ...] = Field("id", description="Where a row has what it is known by.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="What is stored, by name: the path in the row. None: all of it."
    )
    required: tuple[str, ...] = Field((), description="Columns without which a row is set aside.")
    pagination: Pagination = Field(default_factory=OnePage, description="How pages are turned.")
    increment: Increment | None = Field(None, description="How only what changed is read.")
    removes: bool = Field(
        False, description="Remove rows that a complete run has not seen; not together with `increment`."
    )
    max_pages: int = Field(10_000, ge=1, le=1_000_000, description="Pages of one run.")

    @field_validator("path")
    @classmethod
    def _below(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith("//"):
            raise ValueError("expected a path that begins with one /")
        return value

    @field_validator("removes")
    @classmethod
    def _whole(cls, value: bool, info: Any) -> bool:
        if value and info.data.get("increment") is not None:
            raise ValueError("expected false, for with `increment` a run never sees all rows")
        return value

    @property
    def keys(self) -> tuple[str, ...]:
        """The paths of the key's parts."""
        return (self.key,) if isinstance(self.key, str) else self.key


class ApiConnection(Connection):
    """A REST API and its streams."""

    url: Url = Field(description="What all paths begin with.")
    auth: Auth = Field(default_factory=NoAuth, description="How one is let in.")
    headers: dict[str, str] = Field(default_factory=dict, description="Of each request.")
    streams: dict[str, Stream] = Field(min_length=1, description="What is read, by name.")
    requests_per_second: float | None = Field(
        None, gt=0, le=1000, description="Of all workers together; as many as one run makes unless given."
    )
    allow_origins: tuple[Url, ...] = Field(
        (), description="Where next pages may lead beside the API itself; credentials go there too."
    )
    most_deletions: float = Field(
        0.5, gt=0, le=1, description="The share of a stream's rows that one run may remove."
    )
    max_bytes: int = Field(20_000_000, ge=1000, le=500_000_000, description="The longest answer.")
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds for one answer.")
