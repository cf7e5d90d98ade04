"""Logging in by a provider of OpenID Connect: `pip install "hopyard[oidc]"`, `[web.oidc]` of the settings.

The authorization code flow (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636): `pending` is a login
that a browser has begun, `provider` asks the provider, `tokens` judges what it answers, `grants` says what
somebody may do by it. The pages are `hopyard.web.pages.oidc`. None of these is imported unless the settings
have the section.
"""

from __future__ import annotations

from importlib.util import find_spec

from hopyard.errors import PluginError


def check_installed() -> None:
    """Raise `PluginError` if what this needs is not installed."""
    if find_spec("joserfc") is None:
        raise PluginError(
            "logging in by OpenID Connect, `[web.oidc]`, needs a package that is not installed",
            stage="web",
            hint='pip install "hopyard[oidc]"',
        )
