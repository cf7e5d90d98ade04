"""Sending by SMTP: connections, what servers reply, one letter over one connection, the queue."""
