"""Settings: one TOML file, the environment and the command line, as one frozen model.

`load` raises ConfigError with every fault it finds; `examine` returns them beside what is right.
"""

from __future__ import annotations

# Before pydantic, which reads the entry points of all packages.
from hopyard import entrypoints  # noqa: F401
from hopyard.checks import nearest
from hopyard.settings._faults import describe, explain, looks_secret
from hopyard.settings._keys import dotted
from hopyard.settings._load import examine, load
from hopyard.settings._model import (
    Key,
    PersonEntry,
    PluginEntry,
    QueueEntry,
    RetryEntry,
    ScheduleEntry,
    Settings,
    TaskEntry,
)
from hopyard.settings._oidc import OidcSection
from hopyard.settings._schema import schema
from hopyard.settings._values import duration

__all__ = [
    "Key",
    "OidcSection",
    "PersonEntry",
    "PluginEntry",
    "QueueEntry",
    "RetryEntry",
    "ScheduleEntry",
    "Settings",
    "TaskEntry",
    "describe",
    "dotted",
    "duration",
    "examine",
    "explain",
    "load",
    "looks_secret",
    "nearest",
    "schema",
]
