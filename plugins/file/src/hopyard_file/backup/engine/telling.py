"""How far work is, for whoever wants to know."""

from __future__ import annotations

from typing import Protocol


class Tell(Protocol):
    """Is told how far the work is, often; raises where it is to end."""

    def __call__(self, files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None: ...  # noqa: A002


def quiet(files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None:  # noqa: A002
    """Take no notice."""
