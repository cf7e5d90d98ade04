"""Disabling and enabling a plugin while processes run, as an operator does it.

The ledger keeps it; each process looks there and follows: workers within five seconds, the scheduler before
it fires, whoever serves HTTP within two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard.errors import SwitchRefused
from hopyard.ledger import migrations, switches

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database

#: The stage of a plugin's record that the settings disable.
_SETTINGS: Final = "allow"


async def disable(hopyard: Hopyard, database: Database, name: str, who: str) -> bool:
    """Disable a plugin in all processes, and follow here; say whether that is new.

    Its running jobs go on, others wait. Raises as `check`, and `LedgerUnavailable`.
    """
    check(hopyard, name)
    new = await switches.disable(database, name, who)
    await hopyard.look_again(database)
    return new


async def enable(hopyard: Hopyard, database: Database, name: str) -> bool:
    """Have all processes take a plugin back, and follow here; say whether it was disabled.

    Its parked jobs are queued again. Raises as `check`, and `LedgerUnavailable`.
    """
    check(hopyard, name)
    was = await switches.enable(database, name)
    await hopyard.look_again(database)
    return was


def check(hopyard: Hopyard, name: str) -> None:
    """Raise `UnknownPlugin` or `SwitchRefused`, with the reason, for what cannot be disabled or enabled."""
    record = hopyard.plugins.record(name)
    if name == migrations.CORE:
        raise SwitchRefused(f"`{name}` is the core's own plugin: nothing works without it", stage="switch")
    if record.stage == _SETTINGS:
        reason = f"the settings disable plugin `{name}`: {record.reason}; {record.hint}, and start anew"
        raise SwitchRefused(reason, stage=_SETTINGS, hint=record.hint)
