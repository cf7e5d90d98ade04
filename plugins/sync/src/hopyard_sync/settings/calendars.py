"""Settings of calendars."""

from __future__ import annotations

from typing import Literal

from hopyard import PluginSettings
from hopyard.fields import Url
from pydantic import Field, SecretStr, model_validator

from hopyard_sync.settings.common import Connection, OAuth2

Conflicts = Literal["a", "b", "newest", "both"]


class Collection(PluginSettings):
    """A CalDAV collection, and who one is there."""

    url: Url = Field(description="Of the calendar itself.")
    user: str | None = Field(None, description="For basic authentication.")
    password: SecretStr | None = Field(None, description="For basic authentication.")
    oauth: OAuth2 | None = Field(None, description="In the place of user and password.")

    @model_validator(mode="after")
    def _one_way_in(self) -> Collection:
        if (self.user is None) != (self.password is None):
            raise ValueError("expected both `user` and `password`, or neither")
        if self.user is not None and self.oauth is not None:
            raise ValueError("expected either `user` and `password` or `oauth`")
        return self


class CalendarConnection(Connection):
    """A calendar: CalDAV in both directions, Google and Microsoft into the table."""

    kind: Literal["caldav", "google", "microsoft"] = Field("caldav", description="Which protocol it speaks.")
    url: Url | None = Field(
        None, description="CalDAV: of the calendar. Google, Microsoft: the API's, unless it is the usual one."
    )
    user: str | None = Field(None, description="CalDAV: for basic authentication.")
    password: SecretStr | None = Field(None, description="CalDAV: for basic authentication.")
    oauth: OAuth2 | None = Field(None, description="Google, Microsoft, and CalDAV where it takes tokens.")
    calendar: str = Field("primary", min_length=1, description="Google, Microsoft: the calendar's id.")
    other: Collection | None = Field(
        None, description="CalDAV: a second collection as side b, in the place of the table `sync_event`."
    )
    conflicts: Conflicts = Field(
        "newest",
        description="Where both sides changed an event: a (the calendar at `url`) wins, b wins, "
        "the newest wins, or both are kept.",
    )
    most_deletions: float = Field(
        0.5, gt=0, le=1, description="The share of events that one run may delete on a side."
    )
    days_back: int = Field(30, ge=0, le=3660, description="Microsoft: how far back events are read.")
    days_ahead: int = Field(365, ge=1, le=3660, description="Microsoft: how far ahead events are read.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> CalendarConnection:
        given = self.model_fields_set
        if self.kind != "microsoft" and (odd := given & {"days_back", "days_ahead"}):
            raise ValueError(f"{', '.join(sorted(odd))}: for Microsoft, not for {self.kind}")
        if self.kind != "caldav" and "conflicts" in given:
            raise ValueError(f"`conflicts` is for CalDAV, not for {self.kind}")
        if self.other is not None and self.url == self.other.url:
            raise ValueError("`other` is the same calendar as `url`: expected another one")
        if self.kind == "caldav":
            if self.url is None:
                raise ValueError("expected `url`, the address of the CalDAV calendar")
            self.side_a()
        elif self.oauth is None:
            raise ValueError(f"expected `oauth`, which the kind {self.kind} needs")
        elif self.user is not None or self.password is not None or self.other is not None:
            raise ValueError(f"`user`, `password` and `other` are for CalDAV, not for {self.kind}")
        return self

    def side_a(self) -> Collection:
        """Return the collection at `url`."""
        return Collection(url=str(self.url), user=self.user, password=self.password, oauth=self.oauth)
