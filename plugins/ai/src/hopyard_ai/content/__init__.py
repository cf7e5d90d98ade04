"""Texts analysed, answered about, sorted and embedded by models."""
