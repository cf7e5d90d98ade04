"""The outbox in the ledger's database: what is to be sent, who sends it, what became of it."""
