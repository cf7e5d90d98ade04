"""Running a claimed job to its outcome."""
