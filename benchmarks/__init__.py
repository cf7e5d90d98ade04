"""Hopyard beside stock Celery and other job systems, measured in one run: `make bench`."""
