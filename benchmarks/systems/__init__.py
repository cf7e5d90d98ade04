"""One module per system, run by an environment of its own: nothing of Hopyard's tree is imported here."""
