"""Telling people things: who they are, what they were told, over which channels."""

from __future__ import annotations

from hopyard.notifications.people import Person, person
from hopyard.notifications.send import alert, notify

__all__ = ["Person", "alert", "notify", "person"]
