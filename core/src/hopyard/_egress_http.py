"""The part of `hopyard.egress` that needs httpx2: its connections and its bounded bodies."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpcore2
import httpx2

from hopyard.errors import EgressRefused, InvalidInput

if TYPE_CHECKING:
    import ssl

    from hopyard.egress import Egress

_ENCODED = ("gzip", "x-gzip", "deflate")


def open_client(
    egress: Egress, tls: ssl.SSLContext, *, max_bytes: int, timeout: float, follow_redirects: bool
) -> httpx2.AsyncClient:
    """Return a client that reaches only what `egress` lets it."""
    from hopyard.egress import MAX_REDIRECTS

    logger = logging.getLogger("httpx2")
    if logger.level == logging.NOTSET:
        # Its line for each request has the whole URL, which may hold a secret.
        logger.setLevel(logging.WARNING)
    return httpx2.AsyncClient(
        transport=_Transport(egress, tls, max_bytes),
        headers={"Accept-Encoding": "gzip", "User-Agent": "hopyard"},
        timeout=timeout,
        follow_redirects=follow_redirects,
        max_redirects=MAX_REDIRECTS,
        trust_env=False,
    )


class _Backend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were judged; TLS above it still verifies the name."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses(host, port, timeout)
        failure: httpcore2.NetworkError | httpcore2.TimeoutException | None = None
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            async with asyncio.timeout(timeout):
                return await self._egress.addresses(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, egress: Egress, tls: ssl.SSLContext, max_bytes: int) -> None:
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=tls, network_backend=_Backend(egress))
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in ("http", "https"):
            raise EgressRefused(
                f"found a URL with scheme {url.scheme!r}, tasks may reach http and https only"
            )
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = await self._pool.handle_async_request(sent)
        try:
            body = _Body(answer, self._max_bytes, url.host)
        except httpx2.DecodingError:
            await answer.aclose()
            raise
        response = httpx2.Response(
            answer.status, headers=body.headers, stream=body, extensions=answer.extensions
        )
        if not _decodes(response.charset_encoding):
            response.encoding = "utf-8"
        return response

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """A body that is unpacked here and not by httpx2, so that the bound holds for what it unpacks to."""

    def __init__(self, answer: httpcore2.Response, limit: int, host: str) -> None:
        received = httpx2.Headers(answer.headers)
        self._answer = answer
        self._left = limit
        self._error = f"the body that {host} sends is longer than {limit} bytes"
        encoding = received.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "", *_ENCODED):
            raise httpx2.DecodingError(f"{host} packs with {encoding!r} although it was asked for gzip")
        self._packed = encoding in _ENCODED
        self._unpack: zlib._Decompress | None = None
        dropped = (b"content-encoding", b"content-length") if self._packed else ()
        self.headers = [(name, value) for name, value in answer.headers if name.lower() not in dropped]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._answer.stream
        if not isinstance(stream, AsyncIterable):
            raise TypeError("expected an asynchronous body")
        with _as_httpx():
            async for chunk in stream:
                for part in self._unpacked(chunk) if self._packed else (chunk,):
                    yield self._counted(part)
        if self._unpack is not None and not self._unpack.eof:
            raise httpx2.DecodingError("the packed body ends in the middle")

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk unpacks to. A packed body may be several, one after the other (RFC 1952)."""
        while chunk:
            if self._unpack is None or self._unpack.eof:
                self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                part = self._unpack.decompress(chunk, self._left + 1)
            except zlib.error as error:
                raise httpx2.DecodingError(f"the body is not what its encoding says: {error}") from error
            yield part
            chunk = self._unpack.unused_data if self._unpack.eof else self._unpack.unconsumed_tail

    def _counted(self, chunk: bytes) -> bytes:
        self._left -= len(chunk)
        if self._left < 0:
            raise InvalidInput(self._error)
        return chunk

    async def aclose(self) -> None:
        with _as_httpx():
            await self._answer.aclose()


def _decodes(charset: str | None) -> bool:
    """Say whether a body can be read as text by its charset: not all codecs of Python's are for text."""
    try:
        return charset is None or isinstance(b"a\xff".decode(charset, "replace"), str)
    except (LookupError, ValueError, TypeError, AssertionError):  # what the codecs raise
        return False


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise httpcore2's errors as those of the same names in httpx2."""
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise kind(str(error)) from error
    except httpcore2.UnsupportedProtocol as error:
        raise httpx2.UnsupportedProtocol(str(error)) from error
