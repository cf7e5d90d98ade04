"""Keys: where they are kept, who makes them, and how one takes the place of another."""
