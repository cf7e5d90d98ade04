"""Recording what jobs reported and how they ended."""
