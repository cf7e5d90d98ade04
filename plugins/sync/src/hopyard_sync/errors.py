"""Errors of this plugin's own."""

from __future__ import annotations

from hopyard.errors import InvalidInput, TransientError


class TooManyDeletions(InvalidInput):
    """A run would delete more than it may: nothing was changed, and a person decides."""


class LockLost(TransientError):
    """Another job has taken the connection over: what this one still writes is refused."""


class ReconnectNeeded(InvalidInput):
    """The connection waits until a person has renewed its credentials."""
