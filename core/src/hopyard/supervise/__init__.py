"""Process supervision: children are started in order, kept running, and end with their supervisor."""

from __future__ import annotations

from hopyard.supervise.child import FRESH, GIVEN_UP, ChildSpec, ChildStatus
from hopyard.supervise.death import die_with_parent
from hopyard.supervise.leash import LEASH, watch_leash
from hopyard.supervise.supervisor import Supervisor

__all__ = [
    "FRESH",
    "GIVEN_UP",
    "LEASH",
    "ChildSpec",
    "ChildStatus",
    "Supervisor",
    "die_with_parent",
    "watch_leash",
]
