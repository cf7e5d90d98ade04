"""Process supervision: children are started in order, kept running, and end with their supervisor."""

from __future__ import annotations

from hopyard.supervise.child import FRESH, GIVEN_UP, ChildSpec, ChildStatus
from hopyard.supervise.death import die_with_parent
from hopyard.supervise.parent import PARENT_PIPE, watch_parent
from hopyard.supervise.supervisor import Supervisor

__all__ = [
    "FRESH",
    "GIVEN_UP",
    "PARENT_PIPE",
    "ChildSpec",
    "ChildStatus",
    "Supervisor",
    "die_with_parent",
    "watch_parent",
]
