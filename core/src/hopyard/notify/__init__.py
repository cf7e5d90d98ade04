"""ProgressWriter people things: who they are, what they were told, over which channels."""

from __future__ import annotations

from hopyard.notify.people import Person, person
from hopyard.notify.send import alert, notify

__all__ = ["Person", "alert", "notify", "person"]
