"""Naming, compressing and encrypting what goes into a repository.

Each object has a key of its own: HKDF-SHA256 (RFC 5869) of the repository's master key and a random salt, so
that AES-256-GCM may count its nonces from zero. Blobs are named by HMAC-SHA256 of their content: a name says
nothing to whoever has not the key, and content that was swapped has another name. Without encryption the
names are SHA-256 and each part carries a checksum, so that damage is found just the same.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from typing import TYPE_CHECKING, Final, Protocol

from hopyard_file.backup.engine.errors import Damaged

if TYPE_CHECKING:
    import zstandard

#: The longest part that is ever unpacked, in bytes: a chunk, a list of files or chunks, an index.
MAX_RAW: Final = 64 << 20
SALT: Final = 32
_CHECKSUM: Final = 16
_LEVEL: Final = 3
_STORED, _COMPRESSED = b"\0", b"\1"


class Sealer(Protocol):
    """Closes and opens the parts of one object. Each part has a number, used once."""

    overhead: int

    def close(self, number: int, data: bytes, about: bytes = b"") -> bytes:
        """Return `data` sealed; `about` must be the same when it is opened."""

    def open(self, number: int, sealed: bytes, about: bytes = b"") -> bytes:
        """Return what was sealed. Raises `Damaged`."""


class _Encrypted:
    overhead = 16

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)

    def close(self, number: int, data: bytes, about: bytes = b"") -> bytes:
        return self._cipher.encrypt(number.to_bytes(12, "big"), data, about)

    def open(self, number: int, sealed: bytes, about: bytes = b"") -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(number.to_bytes(12, "big"), sealed, about)
        except (InvalidTag, ValueError):
            raise Damaged("its content was changed, or belongs to another key") from None


class _Plain:
    overhead = _CHECKSUM

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def close(self, number: int, data: bytes, about: bytes = b"") -> bytes:
        return self._checksum(number, data, about) + data

    def open(self, number: int, sealed: bytes, about: bytes = b"") -> bytes:
        data = sealed[_CHECKSUM:]
        if self._checksum(number, data, about) != sealed[:_CHECKSUM]:
            raise Damaged("its content was changed")
        return data

    def _checksum(self, number: int, data: bytes, about: bytes) -> bytes:
        made = hashlib.sha256(self._salt + number.to_bytes(12, "big") + len(about).to_bytes(4, "big") + about)
        made.update(data)
        return made.digest()[:_CHECKSUM]


class Seals:
    """What a repository's key does; without a key (`None`) the same without secrecy."""

    def __init__(self, master: bytes | None) -> None:
        self._master = master
        self._own = threading.local()
        self._name_key = None if master is None else _derived(master, b"", b"hopyard backup names")

    def name(self, data: bytes | memoryview) -> bytes:
        """Return the name of a blob with this content: 32 bytes."""
        if self._name_key is None:
            return hashlib.sha256(data).digest()
        return hmac.digest(self._name_key, data, "sha256")

    def sealer(self, salt: bytes) -> Sealer:
        """Return what seals the parts of the object with this salt."""
        if self._master is None:
            return _Plain(salt)
        return _Encrypted(_derived(self._master, salt, b"hopyard backup object"))

    def close_object(self, data: bytes, about: str) -> bytes:
        """Return a whole object: salt and one sealed part. `about` is its key in the repository."""
        salt = os.urandom(SALT)
        return salt + self.sealer(salt).close(0, self.squeezed(data), about.encode())

    def open_object(self, sealed: bytes, about: str) -> bytes:
        """Return what `close_object` was given. Raises `Damaged`."""
        sealer = self.sealer(sealed[:SALT])
        return self.expanded(sealer.open(0, sealed[SALT:], about.encode()))

    def squeezed(self, data: bytes | memoryview) -> bytes:
        """Return data compressed, or as it is where that is no shorter; the first byte says which."""
        made = self._compressor.compress(data)
        if len(made) >= len(data):
            return _STORED + bytes(data)
        return _COMPRESSED + made

    def expanded(self, data: bytes, most: int = MAX_RAW) -> bytes:
        """Return what `squeezed` was given, at most `most` bytes. Raises `Damaged`."""
        import zstandard

        kind, rest = data[:1], data[1:]
        if kind == _STORED:
            if len(rest) > most:
                raise Damaged(f"it has {len(rest):,} bytes, expected at most {most:,}")
            return rest
        if kind != _COMPRESSED:
            raise Damaged("it is neither compressed nor stored as it is")
        try:
            size = zstandard.frame_content_size(rest)
            if not 0 <= size <= most:  # -1: its size is not said, as it always is in what we write
                raise Damaged(f"it says that it has {size:,} bytes, expected at most {most:,}")
            return self._decompressor.decompress(rest, max_output_size=most)
        except zstandard.ZstdError as error:
            raise Damaged(f"it cannot be expanded: {error}") from None

    @property
    def _compressor(self) -> zstandard.ZstdCompressor:
        """One for each thread: they keep their state between calls."""
        if not hasattr(self._own, "compressor"):
            import zstandard

            self._own.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        made: zstandard.ZstdCompressor = self._own.compressor
        return made

    @property
    def _decompressor(self) -> zstandard.ZstdDecompressor:
        if not hasattr(self._own, "decompressor"):
            import zstandard

            self._own.decompressor = zstandard.ZstdDecompressor()
        made: zstandard.ZstdDecompressor = self._own.decompressor
        return made


def _derived(master: bytes, salt: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, salt or None, purpose).derive(master)
