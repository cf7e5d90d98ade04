"""The repository's master key, closed for age recipients, and who may open it.

age recipients are public: whoever writes to the repository could close a key of theirs for them, and have
the next backup encrypted so that they can read it. So the master key comes with a proof: HMAC-SHA256 under a
key that only owners of an identity have. A key without a proof of ours opens what is there, and nothing is
written with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hopyard.errors import AuthenticationError, InvalidInput

_MASTER: Final = 32


@dataclass(frozen=True, slots=True)
class Keyring:
    """What the settings have: identities (`AGE-SECRET-KEY-1…`) and further recipients (`age1…`).

    The recipients of the identities themselves are always among those that a key is closed for.
    """

    identities: Sequence[str] = ()
    recipients: Sequence[str] = ()

    def all_recipients(self) -> list[str]:
        """Return all recipients, sorted. Raises `InvalidInput` for what is no identity."""
        own = {str(one.to_public()) for one in self._opened()}
        return sorted(own.union(self.recipients))

    def new_key(self) -> bytes:
        """Return a new master key."""
        if not self.identities:
            raise InvalidInput("a repository is encrypted: expected an identity, made by `age-keygen`")
        return os.urandom(_MASTER)

    def closed(self, master: bytes) -> dict[str, Any]:
        """Return the master key as the repository's config holds it."""
        import pyrage  # type: ignore[import-untyped]  # it has no type information
        from pyrage import x25519

        recipients = self.all_recipients()
        try:
            found = [x25519.Recipient.from_str(text) for text in recipients]
        except pyrage.RecipientError:
            raise InvalidInput("recipients: expected age recipients, `age1…`") from None
        return {
            "recipients": recipients,
            "key": base64.b64encode(pyrage.encrypt(master, found)).decode(),
            "proofs": [_proof(identity, master) for identity in self.identities],
        }

    def open(self, config: dict[str, Any]) -> tuple[bytes, bool]:
        """Return the master key, and whether an identity of ours vouches for it.

        Raises `AuthenticationError` where no identity opens it.
        """
        import pyrage

        try:
            sealed = base64.b64decode(str(config.get("key")), validate=True)
            master = pyrage.decrypt(sealed, self._opened())
        except (pyrage.DecryptError, ValueError):
            raise AuthenticationError(
                "the repository's key is closed for others: none of the `identities` opens it"
            ) from None
        if len(master) != _MASTER:
            raise AuthenticationError("the repository's key is none of ours: it has another length")
        proofs = [text for text in config.get("proofs", []) if isinstance(text, str) and text.isascii()]
        vouched = any(
            hmac.compare_digest(_proof(identity, master), proof)
            for identity in self.identities
            for proof in proofs[:100]
        )
        return master, vouched

    def is_current(self, config: dict[str, Any]) -> bool:
        """Say whether the config's key is closed for those that the settings name, each vouching for it."""
        same = config.get("recipients") == self.all_recipients()
        return same and len(config.get("proofs", ())) == len(self.identities)

    def _opened(self) -> list[Any]:
        import pyrage
        from pyrage import x25519

        try:
            return [x25519.Identity.from_str(text.strip()) for text in self.identities]
        except pyrage.IdentityError:
            raise InvalidInput("identities: expected age identities, `AGE-SECRET-KEY-1…`") from None


def _proof(identity: str, master: bytes) -> str:
    key = hashlib.sha256(b"hopyard backup proof\0" + identity.strip().upper().encode()).digest()
    return hmac.digest(key, master, "sha256").hex()
