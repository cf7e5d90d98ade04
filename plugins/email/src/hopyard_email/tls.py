"""TLS to mail servers: certificates are always checked, by the system's authorities or the account's."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from hopyard.errors import InvalidInput

if TYPE_CHECKING:
    from hopyard_email.settings import Server


def context_for(server: Server) -> ssl.SSLContext:
    """Return the context for a server. Raises `InvalidInput` if its `ca_file` cannot be read."""
    try:
        made = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    except OSError as error:
        raise InvalidInput(f"ca_file {server.ca_file} cannot be read: {error}") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
