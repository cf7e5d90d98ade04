"""Looking after the ledger's database, by dialect."""
