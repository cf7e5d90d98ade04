"""Mail that came in: read within bounds, told apart, labelled, and acted on."""
