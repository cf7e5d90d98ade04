"""What a child says of its input, and how it is sealed: of Hopyard, a child has nothing else."""

from __future__ import annotations

from hopyard.sandbox.confinement import Missing, Refused, seal

__all__ = ["Missing", "Refused", "seal", "undecodable"]


def undecodable(reason: str) -> Refused:
    """Return the refusal of what cannot be decoded: other places of the file perhaps can (`Damage`)."""
    return Refused(reason, "undecodable")
