"""Whether connections are well."""

from __future__ import annotations

from hopyard import Health, people

from hopyard_file.cloud import state


async def connections_well() -> Health:
    """Say which connections need a person, or failed last."""
    from hopyard_file.cloud.running import connections

    configured = connections()
    found = await state.standings()
    wrong: dict[str, str] = {
        name: standing.state
        for name, standing in found.items()
        if name in configured and standing.state in ("failed", "held")
    }
    for name, own in configured.items():
        if own.person is not None and own.person not in people.known():
            wrong.setdefault(name, f"its person `{own.person}` is none of [people]")
    if not wrong:
        return Health(True, f"{len(configured)} connections, none of which has failed")
    told = ", ".join(f"{name} ({word})" for name, word in sorted(wrong.items()))
    return Health(False, f"{told}: `hopyard file cloud status` says why", data={"connections": wrong})
