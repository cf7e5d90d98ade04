"""What the plugin's page of the dashboard shows: where connections stand."""

from __future__ import annotations

from datetime import datetime

from hopyard import PanelData

from hopyard_sync.models import ConnectionStatus

_WRONG = ("failed", "held", "reconnect")
_COLUMNS = (
    "Connection",
    "Kind",
    "For",
    "State",
    "Last begun",
    "Last succeeded",
    "Rows",
    "Set aside",
    "Error",
)


async def connections() -> PanelData:
    """Return each configured connection with its last run and state, those that need somebody first."""
    from hopyard_sync.overview import statuses

    found = sorted(await statuses(), key=lambda one: (one.state not in _WRONG, one.connection))
    return PanelData(
        figures={
            "Connections": len(found),
            "Running now": sum(one.running for one in found),
            "Need somebody": sum(one.state in _WRONG for one in found),
            "Rows set aside": sum(one.set_aside for one in found),
        },
        columns=_COLUMNS,
        rows=[_row(one) for one in found],
    )


def _row(one: ConnectionStatus) -> list[str | int | datetime | None]:
    state = f"{one.state}, running" if one.running else one.state
    who, times, counts = (
        (one.connection, one.kind, one.person),
        (one.started, one.succeeded),
        (one.rows, one.set_aside),
    )
    return [*who, state, *times, *counts, one.error]
