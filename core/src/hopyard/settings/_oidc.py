"""`[web.oidc]`: who may log in to the dashboard by OpenID Connect, and what each may do then."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from hopyard.settings._section import Section
from hopyard.settings._values import Name, expected

LOOPBACK = ("localhost", "127.0.0.1", "::1")

Role = Literal["viewer", "submitter", "operator", "admin"]
Text = Annotated[str, Field(min_length=1, max_length=200)]


def _issuer(value: str) -> str:
    try:
        parts = urlsplit(value)
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        whole = bool(parts.hostname) and "@" not in parts.netloc and (parts.port is None or parts.port > 0)
    except ValueError:
        secure = whole = False
    if not (secure and whole and value.isascii() and value.isprintable()) or set("?# \\") & set(value):
        raise expected("the provider's address as it writes it itself: https://… without query or fragment")
    return value


def _openid(value: list[str]) -> list[str]:
    if "openid" not in value:
        raise expected("a list with `openid` in it, without which no provider says who somebody is")
    return value


class OidcSection(Section):
    """Logging in by an OpenID Connect provider, beside tokens and links; needs `hopyard[oidc]`."""

    issuer: Annotated[str, Field(max_length=500), AfterValidator(_issuer)] = Field(
        "",
        description="The provider's address, letter for letter as its discovery document has it; `http` only "
        "on this machine.",
    )
    client_id: Annotated[str, Field(max_length=200)] = Field(
        "", description="As what Hopyard is registered there; needed, as `issuer` is."
    )
    client_secret: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        None, description="The secret of that registration; none for a public client."
    )
    name: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        "OpenID Connect", description="What the button calls the provider: `Log in with NAME`."
    )
    scopes: Annotated[
        list[Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]], AfterValidator(_openid)
    ] = Field(
        ["openid", "profile", "email"],
        description="What the provider is asked to tell; `openid` is needed.",
    )
    role_claim: Text = Field(
        "groups",
        description="The claim of the ID token that `roles` reads: a text or a list of texts. With dots it "
        "leads into tables, as `realm_access.roles`.",
    )
    roles: dict[str, Role] = Field(
        default_factory=dict,
        description="Value of that claim to role, `viewer`, `submitter`, `operator` or `admin`; of several "
        "the highest.",
    )
    default_role: Role | None = Field(
        None, description="The role of those whom `roles` gives none; unless given, they do not get in."
    )
    person_claim: Text = Field(
        "sub",
        description="The claim with who somebody is, as they are shown and kept on record. `email` counts "
        "only if the provider has verified it.",
    )
    personal: list[Role] = Field(
        default_factory=list,
        description="Roles whose holders see only what is done for the person of their name.",
    )
    plugins: dict[str, list[Name]] = Field(
        default_factory=dict,
        description="Value of the role's claim to plugins: who has their role by it sees only these.",
    )

    @model_validator(mode="after")
    def _somebody(self) -> OidcSection:
        if not self.issuer or not self.client_id:
            raise expected("`issuer` and `client_id`")
        if not self.roles and self.default_role is None:
            raise expected("`roles` or a `default_role`: without both nobody gets in")
        for value in self.plugins:
            if value not in self.roles:
                raise expected(
                    f"only values under `plugins` that `roles` gives a role to; not `{value[:60]}`"
                )
        return self
