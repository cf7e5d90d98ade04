"""Child processes for tasks with `pool="process"`."""
