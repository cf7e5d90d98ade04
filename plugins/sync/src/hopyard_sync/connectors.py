"""What a connector is: the part that speaks to one kind of other side. Other plugins bring more by hook."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hopyard import hookspec
from pydantic import BaseModel

if TYPE_CHECKING:
    from hopyard_sync.engine.run import Run

__all__ = ["Connector", "SyncHooks"]


@dataclass(frozen=True, slots=True)
class Connector:
    """How connections of one kind are synced.

    `sync` does one run: it reads the other side and stores what it finds with `Run.store` or in tables of its
    plugin's own, within `Run.transaction`. It may be ended at any moment and is then run again: it goes on
    from the position that it stored last. With `Run.dry_run` it changes nothing and counts what it would do.
    `check` makes one cheap request, and raises `AuthenticationError` where the credentials are refused.
    `options` is the model of a connection's `options` and `secrets` in the settings, as `Run.options`; None
    for a connector that has none.
    """

    kind: str
    sync: Callable[[Run], Awaitable[None]]
    check: Callable[[Run], Awaitable[None]]
    options: type[BaseModel] | None = None


class SyncHooks:
    """Collect: connectors for more kinds of connections."""

    @hookspec
    def register_connectors(self) -> Iterable[Connector]:  # type: ignore[empty-body]
        """Return connectors; a connection names one by `kind` under `[plugins.sync.settings.others]`."""
