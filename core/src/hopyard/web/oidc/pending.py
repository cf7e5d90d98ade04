"""A login that a browser has begun at the provider, and that the same browser ends once.

All that has to be secret about it follows from one key, which only the browser has, in a cookie: the ledger
knows the key's hash, so that any process can end the login, once, and none has to remember it. From the key
follow `state` (RFC 6749, section 10.12), `nonce` (OpenID Connect Core 1.0, section 3.1.2.1) and the
`code_verifier` (RFC 7636, section 4.1); from none of them follows another one, or the key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from hopyard.ledger import access
from hopyard.ledger.database import Database

#: How long somebody has to log in at the provider, in seconds.
SECONDS: Final = 600
#: The longest page that is kept to go on to; after a longer one, in characters, it is the first page.
_MOST_NEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that has begun; `next` is the page to go on to, as whoever began it wrote it."""

    key: str
    next: str

    @classmethod
    async def begin(cls, database: Database, next_: str) -> Pending:
        """Begin a login. Raises `LedgerError`."""
        _, key = await access.make(database, "pending", "login by OpenID Connect", "viewer", seconds=SECONDS)
        return cls(key, next_ if len(next_) <= _MOST_NEXT else "")

    @classmethod
    def read(cls, cookie: str) -> Pending | None:
        """Return the login that a cookie is of, which nobody has judged yet; None for what is no cookie of
        ours."""
        key, _, rest = cookie.partition(".")
        try:
            next_ = base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4)).decode()
        except ValueError:
            return None
        return cls(key, next_) if key.isascii() else None

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        return f"{self.key}.{_text(self.next.encode(errors='replace'))}"

    @property
    def state(self) -> str:
        """What the provider sends back with the browser."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the provider writes into the ID token."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What only they know who began the login; 43 characters."""
        return self._derived("code_verifier")

    @property
    def challenge(self) -> str:
        """The SHA-256 of the verifier, by which the provider knows it (RFC 7636, section 4.2)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def is_of(self, state: str) -> bool:
        """Say whether the provider's answer with this state is to this login."""
        return hmac.compare_digest(self.state.encode(), state.encode(errors="replace"))

    async def end(self, database: Database) -> bool:
        """Use it up; say whether it was there, which one of those who ask at the same time is told."""
        return await access.spend(database, self.key, "pending") is not None

    def _derived(self, purpose: str) -> str:
        return _text(hmac.digest(self.key.encode(), purpose.encode(), "sha256"))


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
