"""What a child says of its input, and how it is sealed: of Hopyard, a child has nothing else."""

from __future__ import annotations

from hopyard.sandbox.confinement import Missing, Refused, seal

__all__ = ["Missing", "Refused", "Undecodable", "seal"]


class Undecodable(Refused):
    """What is wanted of the file cannot be decoded; other places of it perhaps can."""
