"""Tables for people: whole cells in the width that there is.

A value without spaces (an id, a state, a time) is never broken: where the width is too small, columns are
left out instead, and a line below the table says which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

import click

from hopyard.cli._streams import say, stdout
from hopyard.display import printable

PIPE_WIDTH: Final = 200  # where the output is no terminal: wide enough that a word is not broken
_GAP: Final = 2  # between two columns
_SOLID: Final = 40  # a column of single words that are all shorter is never broken
_LONGEST_WORD: Final = 30  # longer words of texts (addresses, JSON) are broken after so much


class _Column(NamedTuple):
    wide: int
    """The width in which every line of its cells stands whole."""
    least: int
    """The width below which words are broken."""


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, drop: Sequence[str] = ()
) -> None:
    """Print a table; None is an empty cell.

    Where the width is too small the columns in `drop` are left out first, in that order, then from the right.
    The first one always stays.
    """
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    measured = [_measured([name, *(row[n] for row in cells)]) for n, name in enumerate(columns)]
    width = _width()
    shown = _fitting(columns, measured, width, drop)
    widths = _shared([measured[n] for n in shown], width)
    if title:
        click.echo(f"\n{printable(title)}", file=stdout())
    header = [click.style(line, bold=True) for line in _lines([columns[n] for n in shown], widths)]
    rule = "  ".join("─" * one for one in widths)
    for line in [*header, rule, *(line for row in cells for line in _lines([row[n] for n in shown], widths))]:
        click.echo(line, file=stdout())
    left_out = [name for n, name in enumerate(columns) if n not in shown]
    if left_out:
        for line in _wrapped(f"(too narrow for: {', '.join(left_out)}; --json has all)", width):
            say(line)


def _measured(cells: Sequence[str]) -> _Column:
    from rich.cells import cell_len

    lines = [line for cell in cells for line in cell.splitlines()]
    wide = max(map(cell_len, lines), default=0)
    text = any(" " in line and cell_len(line) > _SOLID / 2 for line in lines)
    if wide <= _SOLID and not text:
        return _Column(wide, wide)
    words = (cell_len(word) for line in lines for word in line.split())
    return _Column(wide, min(max(words, default=1), _LONGEST_WORD))


def _fitting(names: Sequence[str], columns: Sequence[_Column], width: int, drop: Sequence[str]) -> list[int]:
    """Return the places of the columns that stand side by side without a broken word."""
    dispensable = [names.index(name) for name in drop if name in names]
    important = [n for n in range(len(names)) if n not in dispensable] + dispensable[::-1]
    shown, left = list[int](), width + _GAP
    for n in important:
        if not shown or columns[n].least + _GAP <= left:
            shown.append(n)
            left -= columns[n].least + _GAP
    return sorted(shown)


def _shared(columns: Sequence[_Column], width: int) -> list[int]:
    """Return the width of each column: what the words need, and then as much of its lines as there is."""
    # An id stands whole even where there is no room for it: the terminal breaks it, and it can be copied.
    widths = [column.least if column.least == column.wide else min(column.least, width) for column in columns]
    left = width - sum(widths) - _GAP * (len(widths) - 1)
    for n in sorted(range(len(columns)), key=lambda n: columns[n].wide - columns[n].least):
        more = max(0, min(columns[n].wide - widths[n], left))
        widths[n] += more
        left -= more
    return widths


def _lines(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of one row."""
    from rich.cells import cell_len

    wrapped = [[*_wrapped(cell, width)] for cell, width in zip(cells, widths, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = [part + " " * (width - cell_len(part)) for part, width in zip(parts, widths, strict=True)]
        yield (" " * _GAP).join(padded)


def _wrapped(cell: str, width: int) -> Iterator[str]:
    """Yield the lines of a cell, broken between words where possible."""
    from rich.cells import cell_len, chop_cells

    for line in cell.expandtabs(4).splitlines():
        if cell_len(line) <= width:
            yield line
            continue
        taken = ""
        for part in (part for word in line.split() for part in chop_cells(word, max(width, 2))):
            if taken and cell_len(taken) + 1 + cell_len(part) > width:
                yield taken
                taken = part
            else:
                taken = f"{taken} {part}" if taken else part
        yield taken


def _width() -> int:
    """Return the terminal's width; of a pipe a generous one, unless COLUMNS says otherwise."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and len(said) < 5 and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stdout().fileno()).columns or PIPE_WIDTH
    except (OSError, ValueError, AttributeError):  # a pipe, a file, or something that stands in for one
        return PIPE_WIDTH
