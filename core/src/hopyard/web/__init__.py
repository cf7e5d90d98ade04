"""The HTTP API and the dashboard: `pip install "hopyard[web]"`, `hopyard web`.

For programs that serve it themselves: `create_app(hopyard)` is an ASGI application. For plugins that add
routes by `register_routes`: `needs` and `Viewer` say who may use them, `audit` keeps what they do, and what
their requests' bodies say is derived from `Body`, with `Name` for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hopyard.web.viewer import Role, Viewer

if TYPE_CHECKING:
    from hopyard.web.app import create_app
    from hopyard.web.security import needs
    from hopyard.web.state import audit
    from hopyard.web.strict import Body, Name

__all__ = ["Body", "Name", "Role", "Viewer", "audit", "create_app", "needs"]


def __getattr__(name: str) -> Any:
    """Import what needs the extra `web` when it is asked for."""
    if name == "create_app":
        from hopyard.web.app import create_app

        return create_app
    if name == "needs":
        from hopyard.web.security import needs

        return needs
    if name == "audit":
        from hopyard.web.state import audit

        return audit
    if name in ("Body", "Name"):
        from hopyard.web import strict

        return getattr(strict, name)
    raise AttributeError(f"module `hopyard.web` has no `{name}`")
