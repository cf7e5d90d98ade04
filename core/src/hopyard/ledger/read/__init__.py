"""Reading the ledger for people and programs: pages of jobs, counts, what is changing, what jobs logged."""
