"""Panels: what plugins show on their page of the dashboard, as plain data that the core lays out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from hopyard import checks

#: One value as a panel shows it; a moment has a zone.
Cell = str | int | float | bool | datetime | None

_LONGEST_TEXT: Final = 100_000
_MOST_FIGURES: Final = 50
_MOST_COLUMNS: Final = 20
_MOST_ROWS: Final = 10_000
MAX_PANEL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class PanelData:
    """What a panel shows: figures by their labels, a table, a text; each may be missing.

    Values are texts, numbers, truth values, moments with a zone, and None. Each of `rows` has one for each of
    `columns` (at most 20); up to 10,000 rows are taken, the first 200 are shown. A text may have 100,000
    characters, of which 10,000 are shown, with their line breaks; a value's text 500. Nothing in them is
    markup. What stands below a label or in a column with a name such as `password` is masked.
    """

    figures: Mapping[str, Cell] = field(default_factory=dict)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    text: str = ""

    def __post_init__(self) -> None:
        checks.text("panel: text", self.text, _LONGEST_TEXT, empty=True)
        if not isinstance(self.figures, Mapping) or len(self.figures) > _MOST_FIGURES:
            checks.refuse("panel: figures", self.figures, f"at most {_MOST_FIGURES} values by their labels")
        for label, value in self.figures.items():
            checks.text("panel: label of a figure", label)
            _check_cell(f"panel: figure `{label}`", value)
        self._check_table()

    def _check_table(self) -> None:
        if not _listed(self.columns, _MOST_COLUMNS):
            checks.refuse("panel: columns", self.columns, f"a list of at most {_MOST_COLUMNS} names")
        for column in self.columns:
            checks.text("panel: column", column)
        if not _listed(self.rows, _MOST_ROWS):
            checks.refuse("panel: rows", self.rows, f"a list of at most {_MOST_ROWS} rows")
        for row in self.rows:
            if not _listed(row, _MOST_COLUMNS) or len(row) != len(self.columns):
                checks.refuse("panel: row", row, f"a list of {len(self.columns)} values, one for each column")
            for column, value in zip(self.columns, row, strict=True):
                _check_cell(f"panel: column `{column}`", value)


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a plugin's page in the dashboard, and of `GET /api/plugins/{name}/panels`.

    `read` returns what it shows at that moment; it may be `async def`. It is called where HTTP is served, for
    whoever may see the plugin, in a thread and an event loop of its own, at most once in two seconds.
    `time_limit` is in seconds, at most 10. An error, a wrong value or none in time is shown in the panel.
    """

    name: str
    title: str
    read: Callable[[], PanelData | Awaitable[PanelData]]
    time_limit: float = 5.0

    def __post_init__(self) -> None:
        checks.text("panel: name", self.name)
        checks.text(f"panel `{self.name}`: title", self.title)
        checks.function(f"panel `{self.name}`: read", self.read)
        checks.positive(f"panel `{self.name}`: time_limit", self.time_limit, MAX_PANEL_SECONDS)


def _listed(value: Any, most: int) -> bool:
    return isinstance(value, list | tuple) and len(value) <= most


def _check_cell(what: str, value: Any) -> None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            checks.refuse(what, value, "a moment with a zone")
    elif isinstance(value, str):
        checks.text(what, value, _LONGEST_TEXT, empty=True)
    elif value is not None and not isinstance(value, bool | int | float):
        checks.refuse(what, value, "a text, a number, a truth value, a moment or None")
