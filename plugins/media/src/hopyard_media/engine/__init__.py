"""Decoding and hearing media, in a child process (`hopyard.sandbox`): nothing here knows of Hopyard."""
