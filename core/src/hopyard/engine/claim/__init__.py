"""Claiming jobs in the ledger for the messages that were taken."""
