"""Running connections: one job at a time each, fenced, resumable, with a record of what happened."""
