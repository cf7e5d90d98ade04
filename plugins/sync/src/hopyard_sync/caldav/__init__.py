"""CalDAV (RFC 4791) over the egress, with sync-collection (RFC 6578) and conditional writes."""
