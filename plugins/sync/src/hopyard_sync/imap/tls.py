"""TLS to an IMAP server, from the start or by STARTTLS."""

from __future__ import annotations

import asyncio
import socket
import ssl

from hopyard.errors import InvalidInput, TransientError


def context(ca_file: str | None) -> ssl.SSLContext:
    """Return whom to trust. Raises `InvalidInput`."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"ca_file: found {ca_file}, expected a file of certificates in PEM ({error})"
        ) from None


async def start(made: socket.socket, place: str) -> None:
    """Have the server begin with TLS, before anything else is said.

    Nothing that came in clear is kept: a server, or somebody between, that sends more than its answer is
    refused, since that would count as said within TLS.
    """
    loop = asyncio.get_running_loop()
    await _clear_line(loop, made, b"* OK", place)
    await loop.sock_sendall(made, b"s STARTTLS\r\n")
    await _clear_line(loop, made, b"s OK", place)


async def _clear_line(
    loop: asyncio.AbstractEventLoop, made: socket.socket, begins: bytes, place: str
) -> None:
    line = b""
    while not line.endswith(b"\r\n"):
        more = await loop.sock_recv(made, 1000)
        line += more
        if not more or len(line) > 10_000 or line.count(b"\n") > 1:
            raise TransientError(f"{place}: found {line[:60]!r}, expected one line")
    if not line.upper().startswith(begins.upper()):
        raise InvalidInput(
            f"{place}: found {line[:100]!r}, expected {begins.decode()}: it does not do STARTTLS"
        )
