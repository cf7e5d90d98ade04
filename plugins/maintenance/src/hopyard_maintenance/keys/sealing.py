"""Encrypting keys for the table: Fernet (AES-128-CBC and HMAC-SHA256), by the operator's master keys.

The first master key encrypts, all of them decrypt, so that a new one can be put in front. What is encrypted
says which key it is, so that a row's text is of no use in another row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hopyard import conceal
from hopyard.errors import AuthenticationError
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class Seal:
    """The master keys at work. Raises `AuthenticationError` where there are none."""

    def __init__(self, master_keys: Sequence[SecretStr]) -> None:
        if not master_keys:
            raise AuthenticationError(
                "there are no master keys: set plugins.maintenance.settings.master_keys"
            )
        self._keys = [key.get_secret_value() for key in master_keys]
        self.mark = hashlib.sha256(self._keys[0].encode()).hexdigest()[:12]
        """Tells by which master key something was sealed; nothing of the key can be had from it."""

    def close(self, name: str, version: str, key: ApiKey) -> str:
        """Return the sealed text of a key."""
        told = {"name": name, "version": version, "id": key.id, "secret": key.secret.get_secret_value()}
        return self._fernet().encrypt(json.dumps(told).encode()).decode()

    def open(self, name: str, version: str, sealed: str) -> ApiKey:
        """Return the key in a sealed text. Raises `AuthenticationError`."""
        from cryptography.fernet import InvalidToken

        try:
            told = json.loads(self._fernet().decrypt(sealed.encode()))
        except InvalidToken:
            reason = f"no master key opens the key `{name}`: was one removed before `keys reseal`?"
            raise AuthenticationError(reason) from None
        if (told["name"], told["version"]) != (name, version):
            raise AuthenticationError(f"what stands in the place of the key `{name}` is another key")
        conceal(told["secret"])
        return ApiKey(told["id"], SecretStr(told["secret"]))

    def reseal(self, sealed: str) -> str | None:
        """Return a text sealed anew by the first master key; None where none of the keys opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet().rotate(sealed.encode()).decode()
        except InvalidToken:
            return None

    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        return MultiFernet([Fernet(key) for key in self._keys])
