"""The stack of one machine: an embedded broker, and the file that tells what runs in a data directory."""
