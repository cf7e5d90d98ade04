"""What changes, told to those who look: one look at the ledger for all of them."""
