"""Taking messages from the broker."""
