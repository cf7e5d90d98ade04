"""HTTP as connectors need it: authenticated, paced, tried again, kept on its origin."""
