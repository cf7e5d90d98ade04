"""What a child says of its input, and how it is sealed: of Hopyard, a child has nothing else."""

from __future__ import annotations

from hopyard.sandbox.confinement import Missing, Refused, seal

__all__ = ["Missing", "Refused", "seal"]
