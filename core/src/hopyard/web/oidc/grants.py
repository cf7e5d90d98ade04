"""What somebody may do who has come in by a provider: the claims of their token, by `[web.oidc]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopyard import checks
from hopyard.errors import LoginRefused, SpecError
from hopyard.settings import OidcSection
from hopyard.web.viewer import Role


@dataclass(frozen=True, slots=True)
class Grant:
    """What their session is made of; `plugins` and `person` as `hopyard.ledger.access.make` takes them."""

    name: str
    role: str
    plugins: tuple[str, ...] | None
    person: str | None


def grant(settings: OidcSection, claims: Mapping[str, Any]) -> Grant:
    """Return what somebody with these claims may do.

    Raises `LoginRefused` where that is nothing, or where the token does not say who they are.
    """
    name = _name(settings, claims)
    values = values_of(claims, settings.role_claim) & settings.roles.keys()
    role = max((settings.roles[value] for value in values), key=_rank, default=settings.default_role)
    if role is None:
        raise LoginRefused("your provider knows you, but has given you no role here; ask who runs this")
    return Grant(
        name,
        role,
        _plugins(settings, {value for value in values if settings.roles[value] == role}),
        name if role in settings.personal else None,
    )


def _rank(role: str) -> Role:
    return Role[role.upper()]


def _plugins(settings: OidcSection, values: set[str]) -> tuple[str, ...] | None:
    """Return the plugins of those values alone by which somebody has their role.

    What a lower role leads to is left out: it would be seen, and changed, with the higher one.
    """
    if not values or any(value not in settings.plugins for value in values):
        return None
    return tuple(sorted({plugin for value in values for plugin in settings.plugins[value]}))


def values_of(claims: Mapping[str, Any], claim: str) -> set[str]:
    """Return the texts of a claim, which is one or a list of them; none where it is something else.

    A name with dots leads into tables, unless a claim has it as it is, as `https://example.com/roles`.
    """
    found: Any = claims
    for name in [claim] if claim in claims else claim.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return {value for value in (found if isinstance(found, list) else [found]) if isinstance(value, str)}


def _name(settings: OidcSection, claims: Mapping[str, Any]) -> str:
    claim = settings.person_claim
    if claim == "email" and claims.get("email_verified") not in (True, "true"):
        raise LoginRefused("your provider has not verified your address, by which you would be known here")
    name = claims.get(claim)
    try:
        checks.text(claim, name)
    except SpecError as error:
        raise LoginRefused(f"your provider does not say who you are: it sends no usable `{claim}`") from error
    return str(name)
