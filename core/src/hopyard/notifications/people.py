"""Whom Hopyard tells things, and how: people come from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from hopyard import current
from hopyard.notifications.channels import mask


@dataclass(frozen=True, slots=True)
class Person:
    """A person's id, IANA time zone and channels: addresses by their masked form, which may be shown."""

    id: str
    zone: str
    channels: dict[str, str]


def person(id_: str) -> Person:
    """Return a person. One that the settings do not know has the stack's zone and no channels."""
    settings = current.get().settings
    known = settings.people.get(id_)
    if known is None:
        return Person(id_, settings.time_zone, {})
    addresses = [address.get_secret_value() for address in known.channels]
    return Person(id_, known.zone or settings.time_zone, {_key(n, a): a for n, a in enumerate(addresses)})


def _key(n: int, address: str) -> str:
    return f"{n}:{mask(address)}"
