"""Short codes by which people can ask about a report."""

from __future__ import annotations

import base64
import secrets


def new_reference() -> str:
    """Return a code such as `R-7KQ2ZD`."""
    return "R-" + base64.b32encode(secrets.token_bytes(5)).decode()[:6]
