"""Reading the panels of plugins: each costs no more than its time, and shows its own fault."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field

from hopyard.monitor.asking import ask
from hopyard.panels import Cell, Panel, PanelData
from hopyard.redaction import MASK, names_secret, redact

if TYPE_CHECKING:
    from hopyard.loading import Plugins

#: For so many seconds whoever looks is shown what was read before.
_FRESH: Final = 2.0
_MOST_ROWS: Final = 200
_LONGEST_TEXT: Final = 10_000
_LONGEST_CELL: Final = 500

Shown = str | bool | int | float | datetime | None


class Figure(BaseModel):
    """One value with its label."""

    label: str
    value: Shown


class PanelState(BaseModel):
    """What a plugin's panel shows now; `error` says why that cannot be told. Secrets are masked."""

    name: str
    title: str
    figures: list[Figure] = []
    columns: list[str] = []
    rows: list[list[Shown]] = []
    more_rows: int = Field(0, description="Rows that were left out behind the last one.")
    text: str = ""
    error: str = ""


class PanelReader:
    """One for each application. Who looks at the same time is shown the same reading."""

    def __init__(self) -> None:
        self._readings: dict[tuple[str, str], tuple[float, asyncio.Task[PanelState]]] = {}

    async def read(self, plugins: Plugins, plugin: str) -> list[PanelState]:
        """Return what the panels of a plugin show; none where it is not enabled or has none."""
        readings = [self._reading(plugin, panel) for panel in plugins.panels(plugin)]
        return [*await asyncio.gather(*(asyncio.shield(reading) for reading in readings))]

    def _reading(self, plugin: str, panel: Panel) -> asyncio.Task[PanelState]:
        key = (plugin, panel.name)
        at, reading = self._readings.get(key, (-math.inf, None))
        if reading is None or time.monotonic() - at > _FRESH or reading.cancelled():
            reading = asyncio.create_task(_read(plugin, panel))
            self._readings[key] = (time.monotonic(), reading)
        return reading


async def _read(plugin: str, panel: Panel) -> PanelState:
    found = await ask(f"panel {plugin}.{panel.name}", panel.read, PanelData, panel.time_limit)
    name, title = panel.name, redact(panel.title)
    if found.value is None:
        return PanelState(name=name, title=title, error=found.fault[:_LONGEST_CELL])
    return _shown(name, title, found.value)


def _shown(name: str, title: str, data: PanelData) -> PanelState:
    """Return data as it is shown: plain values, no secrets, of limited size."""
    return PanelState(
        name=name,
        title=title,
        figures=_figures(data.figures),
        columns=[redact(column) for column in data.columns],
        rows=[
            [_cell(column, value) for column, value in zip(data.columns, row, strict=True)]
            for row in data.rows[:_MOST_ROWS]
        ],
        more_rows=max(0, len(data.rows) - _MOST_ROWS),
        text=_cut(redact(str.__str__(data.text)), _LONGEST_TEXT),
    )


def _figures(figures: Mapping[str, Cell]) -> list[Figure]:
    return [Figure(label=redact(label), value=_cell(label, value)) for label, value in figures.items()]


def _cell(label: str, value: Cell) -> Shown:
    if value is None or isinstance(value, bool):  # no secrets, whatever they are called
        return value
    if names_secret(label):
        return MASK
    if isinstance(value, str):
        return _cut(redact(str.__str__(value)), _LONGEST_CELL)
    if isinstance(value, float) and not math.isfinite(value):  # JSON has none of these
        return str(value)
    return value


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
