"""Repositories of backups: writing, reading, checking and thinning them out. Knows no database, no jobs."""
