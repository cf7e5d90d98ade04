"""Finds installed plugins by their entry points, without importing any of their code."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import importlib_metadata
from importlib_metadata import Distribution

from hopyard import entrypoints
from hopyard.loading._records import Failure

GROUP = "hopyard"
SITE = "site"

# Command names, rooms of the core and top-level keys of the settings: none of them can be a plugin.
_RESERVED = """
demo up worker beat plugins config tasks run jobs explain schedule doctor db set-aside new
app broker builtin celery celeryapp cli core current engine errors hookspecs hopyard ledger loading local
monitor notify plugin portal redaction settings specs supervise testing top web
alerts allow broker_url data database_url egress internal log people queues retention schedules strict
time_zone
"""
RESERVED = frozenset({SITE, *_RESERVED.split()})

_NAMED = re.compile("^Name:(.*)$", re.MULTILINE)

entrypoints.tolerate(importlib_metadata)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry point of the group, or a class given by the caller (`target`)."""

    name: str
    value: str = ""
    distribution: Distribution | None = None
    target: Any = None

    @property
    def project(self) -> str:
        """The distribution's name, as far as its metadata can be read."""
        return metadata_field(self.distribution, "Name")

    @property
    def version(self) -> str:
        return metadata_field(self.distribution, "Version")

    @property
    def summary(self) -> str:
        return metadata_field(self.distribution, "Summary")


def candidates(distributions: Iterable[Distribution] | None = None) -> list[Candidate]:
    """All entry points of the group `hopyard`, by name."""
    found = [
        Candidate(entry.name, entry.value, distribution)
        for distribution in visible(distributions)
        if _mentions_group(distribution)
        for entry in _entry_points(distribution)
        if entry.group == GROUP
    ]
    return sorted(found, key=lambda candidate: (candidate.name, candidate.project))


def installed_names(distributions: Iterable[Distribution] | None = None) -> list[str]:
    """The names of installed plugins that may be loaded, without importing any."""
    names = {candidate.name for candidate in candidates(distributions)}
    return sorted(name for name in names if not wrong_name(name))


def visible(distributions: Iterable[Distribution] | None = None) -> Iterator[Distribution]:
    """Distributions in the order of the path, without those that an earlier one of the same name hides."""
    seen: set[str] = set()
    installed: Iterable[Any] = importlib_metadata.distributions() if distributions is None else distributions
    for distribution in installed:
        name = normal_name(_name(distribution))
        if name and name in seen:
            continue
        seen.add(name)
        yield distribution


def normal_name(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_name(candidate: Candidate) -> None:
    """Raise Failure where the name is no namespace or belongs to Hopyard."""
    reason = wrong_name(candidate.name)
    if reason:
        where = f" in the entry points of {candidate.project}" if candidate.project else ""
        raise Failure("name", reason, f"rename the entry point `{candidate.name}`{where} and its tasks")


def check_alone(candidate: Candidate, namesakes: list[Candidate]) -> None:
    """Raise Failure where another entry point has the same name."""
    if len(namesakes) > 1:
        owners = " and ".join(sorted(f"{other.project} ({other.value})" for other in namesakes))
        raise Failure(
            "duplicates",
            f"{owners} both provide the plugin `{candidate.name}`; neither is loaded",
            f"uninstall one of them: pip uninstall {namesakes[-1].project}",
        )


def wrong_name(name: str) -> str:
    """Return why a name can be no plugin's; empty for one that can."""
    if name in RESERVED:
        return f"the name `{name}` is reserved for Hopyard itself"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or "__" in name or keyword.iskeyword(name):
        return f"`{name}` is no plugin name: lower-case letters, digits and single underscores, no keyword"
    return ""


def _name(distribution: Distribution) -> str:
    """A distribution's name, without taking all of its metadata apart: each start looks at a hundred."""
    try:
        found = _NAMED.search(distribution.read_text("METADATA") or "")
    except (OSError, UnicodeError):
        found = None
    return found[1].strip() if found else metadata_field(distribution, "Name")


def _mentions_group(distribution: Distribution) -> bool:
    try:
        return GROUP in (distribution.read_text("entry_points.txt") or "")
    except (OSError, UnicodeError):
        return True  # who reads its entry points says what is wrong


def _entry_points(distribution: Distribution) -> list[Any]:
    return list(distribution.entry_points)


def metadata_field(distribution: Distribution | None, field: str) -> str:
    if distribution is None:
        return ""
    try:
        return str(distribution.metadata[field] or "") if field in distribution.metadata else ""
    except FileNotFoundError:  # an installation that was cut short leaves a folder without METADATA
        return ""
