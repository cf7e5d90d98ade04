"""The settings: where temporary files are, and when they are old."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from hopyard import PluginSettings
from pydantic import AfterValidator, Field, model_validator


def _pattern(text: str) -> str:
    if not text or "/" in text or "\0" in text:
        raise ValueError(f"expected a pattern for the names of files, such as `*.tmp`, found {text!r}")
    return text


def _under(text: str) -> str:
    if text and ({"", ".", ".."}.intersection(text.split("/")) or "\0" in text):
        raise ValueError(f"expected names below the root with / between them, found {text!r}")
    return text


class TempPlace(PluginSettings):
    """A directory whose old files are deleted: those that match, by age, by total size, or by both."""

    root: str = Field(description="The root that it is in, which is declared and writable.")
    under: Annotated[str, AfterValidator(_under)] = Field("", description="A directory below it.")
    patterns: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(
        min_length=1, description="Which names: `*`, `?` and `[…]`, upper and lower case told apart."
    )
    hours: float | None = Field(
        None, ge=0, le=1_000_000, description="Files that were not changed for longer go."
    )
    max_bytes: int | None = Field(
        None, ge=0, description="The oldest go until the rest has no more bytes together."
    )
    empty_directories: bool = Field(
        False, description="Whether empty directories below it go that were not changed for `hours`."
    )

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.root}:{self.under or '.'}"

    @model_validator(mode="after")
    def _some_rule(self) -> TempPlace:
        if self.hours is None and self.max_bytes is None:
            raise ValueError(f"expected `hours`, `max_bytes` or both for {self.name}")
        if self.empty_directories and self.hours is None:
            raise ValueError(f"expected `hours` for {self.name}, because of `empty_directories`")
        return self


class CleanupSettings(PluginSettings):
    """What is cleaned up, and how much of it at most."""

    places: tuple[TempPlace, ...] = Field((), description="Where; nowhere unless given.")
    cron: str = Field("0 2 * * *", description="When.")
    max_share: float = Field(
        0.9, gt=0, le=1, description="Where more than this part of a place is past its age, nothing goes."
    )
    small: int = Field(1_000, ge=0, description="Of fewer files than this any part may go.")
    max_files: int = Field(
        200_000, ge=1, le=10_000_000, description="Files of one place that one run deletes, the oldest."
    )
    spare_open: bool = Field(True, description="Whether files that a process has open are left alone.")

    def root_names(self) -> Iterable[str]:
        """Return the names of all roots that these settings name, which must be declared."""
        return [place.root for place in self.places]
