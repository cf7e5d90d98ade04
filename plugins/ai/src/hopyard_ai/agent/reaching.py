"""How servers of models are reached: the one that is configured, nowhere else, and answers that end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hopyard.egress import Egress

from hopyard_ai.agent.providers import Unable

if TYPE_CHECKING:
    import httpx2

#: The most that is read of one answer, in bytes.
MOST_BYTES: Final = 10 * 1024 * 1024


def client_to(base_url: str | None, timeout: float, most: int = MOST_BYTES) -> httpx2.AsyncClient:
    """Return a client that reaches the server at an address, and public ones where none is given.

    The operator who writes down a private address means it; no server can send a request on to another
    one, with the text and the key that are in it. `timeout` in seconds, for connecting and each read.
    """
    client = Egress(_place(base_url)).client(max_bytes=most, timeout=timeout)
    client.event_hooks = {"response": [_stays]}
    return client


def _place(base_url: str | None) -> list[str]:
    parts = urlsplit(base_url or "")
    if not parts.hostname:
        return []
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return [f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"]


async def _stays(response: httpx2.Response) -> None:
    if response.is_redirect:
        raise Unable(
            f"the model's server sends on to another address ({response.status_code}), which is not "
            "followed: give that one as `base_url`, if it is right"
        )
