"""What goes wrong with a repository, in terms of the core's errors of tasks."""

from __future__ import annotations

from hopyard.errors import InvalidInput, TransientError

__all__ = ["Damaged", "LeaseLost", "RepositoryBusy"]


class Damaged(InvalidInput):
    """Something in the repository is not what was written: changed, missing, or of another key."""


class RepositoryBusy(TransientError):
    """Somebody else is at work on the repository, and both cannot be at once."""


class LeaseLost(TransientError):
    """This run stood still for so long that others may take it for dead, and the repository for free."""
