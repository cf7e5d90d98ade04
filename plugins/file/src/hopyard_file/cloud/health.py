"""Whether connections are well."""

from __future__ import annotations

from hopyard import Health

from hopyard_file.cloud import state


async def connections_well() -> Health:
    """Say which connections need a person, or failed last."""
    from hopyard_file.cloud.running import connections

    configured = connections()
    found = await state.standings()
    wrong = {
        name: standing.state
        for name, standing in found.items()
        if name in configured and standing.state in ("failed", "held")
    }
    if not wrong:
        return Health(True, f"{len(configured)} connections, none of which has failed")
    told = ", ".join(f"{name} ({word})" for name, word in sorted(wrong.items()))
    return Health(False, f"{told}: `hopyard file cloud status` says why", data={"connections": wrong})
