"""Mailboxes by IMAP4rev1 (RFC 3501), read into the tables `sync_folder` and `sync_message`."""
