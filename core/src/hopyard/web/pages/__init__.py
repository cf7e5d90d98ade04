"""The dashboard: pages made here, kept true by the live streams."""
