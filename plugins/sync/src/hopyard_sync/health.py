"""Whether connections are well."""

from __future__ import annotations

from hopyard import Health, people

from hopyard_sync.engine import state


async def connections_well() -> Health:
    """Say which connections need a person, or failed last."""
    from hopyard_sync.engine.runner import registry, settings

    configured, (_, faults) = settings().connections(), registry()
    strangers = {one.person for one in configured.values() if one.person} - {*people.known()}
    faults += [f"nobody is called {name!r}: expected somebody under `people`" for name in sorted(strangers)]
    found = await state.standings()
    wrong = {
        name: standing.state
        for name, standing in found.items()
        if name in configured and standing.state in ("failed", "held", "reconnect")
    }
    if not wrong and faults:
        return Health(False, "; ".join(faults))
    if not wrong:
        return Health(True, f"{len(configured)} connections, none of which has failed")
    told = ", ".join(f"{name} ({word})" for name, word in sorted(wrong.items()))
    return Health(False, f"{told}: `hopyard sync status` says why", data={"connections": wrong})
