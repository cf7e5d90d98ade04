"""`python -m hopyard.cli`."""

from __future__ import annotations

from hopyard.cli import main

main(prog_name="hopyard")
