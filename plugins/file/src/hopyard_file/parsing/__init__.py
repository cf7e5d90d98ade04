"""Reading files that strangers made: what runs in a child process with limits, and nothing else.

This package is run by `hopyard.sandbox`: of Hopyard it imports `hopyard.sandbox.confinement` alone, of the
plugin nothing else, so that a child starts fast and has no settings, no secrets, no database and no network.
All bytes come over an open file; what goes back is one JSON object.
"""
