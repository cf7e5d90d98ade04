"""When a lease is over, by the clock of leases (`Dialect.clock`).

On PostgreSQL that is the server's clock, which an administrator may set. On SQLite, where all processes are
on one machine, it is the time since boot without the time that the machine was suspended: nobody can set it,
a suspended machine costs no lease, and it begins anew at each boot. Both may therefore go back, and a lease
that was written before lies further ahead than any lease can: it is over as well.
"""

from __future__ import annotations

from hopyard.ledger.dialect import Dialect


def over(d: Dialect, until: str, longest: str) -> str:
    """SQL: a lease that ends at `until` is over; none ends later than `longest` seconds from now."""
    return f"({until} < {d.clock} OR {until} > {d.plus(d.clock, longest)})"


def lost(d: Dialect) -> str:
    """SQL on the table `worker`: its lease is over.

    A clock that was set back by less than a lease costs no living worker its jobs; a dead one's lease lasts
    twice as long then, at most.
    """
    return over(d, d.plus("beat", "lease"), "lease * 2")
