"""Addresses in the settings: hosts that tasks may reach, and notification channels. They check themselves."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from hopyard import checks

__all__ = ["Address", "AllowedHost", "Network", "channel_scheme", "embedded"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HOST_EXPECTED = "a host, *.domain, host:port or network such as 10.0.0.0/8"
CHANNEL_EXPECTED = "the address of a channel, such as https://host/path or mailto://user@host"

_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\.?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of `[egress] allow`: a host name or a network, perhaps with a port.

    A name that begins with `*.` stands for all hosts below it, not for the domain itself.
    """

    name: str | None
    network: Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> AllowedHost:
        """Return the entry that `text` is. Raises `SpecError`."""
        checks.text("egress.allow", text, 300)
        entry = text.strip().lower()
        bare = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
        network = _network(bare)
        if network is not None:
            return cls(None, network, None)
        host, separator, port = entry.rpartition(":") if ":" in entry else (entry, "", "")
        network = _network(host.strip("[]"))
        right_port = not separator or (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536)
        if not right_port or not (network or _HOST.fullmatch(host)):
            checks.refuse("egress.allow", text, HOST_EXPECTED)
        return cls(None if network else host.rstrip("."), network, int(port) if port else None)

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Say whether the entry allows a connection to a host's address; `host` is in small letters."""
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return any(one in self.network for one in (address, embedded(address)) if one is not None)
        if self.name is not None and self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return host == self.name


def embedded(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def channel_scheme(address: str) -> str:
    """Return the scheme of a channel's address, in small letters, by which its notifier is found.

    Raises `SpecError`, without the address, which may hold a secret.
    """
    scheme, separator, rest = address.partition("://")
    scheme = scheme.lower()
    if not separator or not _SCHEME.fullmatch(scheme) or not rest.strip():
        checks.refuse("channel", "an address without a scheme or without a place", CHANNEL_EXPECTED)
    if checks.storable(address) != address or any(letter.isspace() for letter in address.strip()):
        checks.refuse("channel", "an address with white space or control characters", CHANNEL_EXPECTED)
    if scheme in ("http", "https") and not _has_host(address):
        checks.refuse("channel", "a web address without a host", CHANNEL_EXPECTED)
    return scheme


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address.strip())
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a wrong port, or brackets around what is no address
        return False


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
