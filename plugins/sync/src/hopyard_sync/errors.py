"""Errors of this plugin's own."""

from __future__ import annotations

from hopyard.errors import AuthenticationError, InvalidInput


class TooManyDeletions(InvalidInput):
    """A run would delete more than it may: nothing was changed, and a person decides."""


class ReconnectNeeded(InvalidInput):
    """The connection waits until a person has renewed its credentials."""


class Answered(InvalidInput):
    """The other side answered with a status that no repeat will mend; `status` is it."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Forbidden(AuthenticationError):
    """The credentials are known and do not reach what was asked for (403)."""
