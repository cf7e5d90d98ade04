"""From what a caller hands in to the bytes that go over the wire."""

from __future__ import annotations

from hopyard_email.composing.message import Composed, compose

__all__ = ["Composed", "compose"]
