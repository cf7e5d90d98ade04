"""`hopyard web`: the dashboard and the HTTP API; tokens for it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hopyard import checks
from hopyard.cli._context import load_hopyard
from hopyard.cli._options import ListingGroup
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._roles import await_ledger, begin, ending_for_good
from hopyard.cli._session import with_core
from hopyard.errors import PluginError
from hopyard.ledger.access import ROLES

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.settings import Settings

#: A login link opens for so many seconds.
LINK_SECONDS = 900.0


@click.group("web", cls=ListingGroup)
def command() -> None:
    """Serve the dashboard and the HTTP API; make tokens and login links."""


@command.command("serve")
def serve() -> None:
    """Serve the dashboard and the HTTP API, as `[web]` of the settings says."""
    from hopyard.supervise.parent import watch_parent

    watch_parent()
    with ending_for_good():
        hopyard = load_hopyard("web", before=begin)
        check_installed(hopyard.settings)
        await_ledger(hopyard)
        run(hopyard)


def check_installed(settings: Settings) -> None:
    """Raise `PluginError` if what serves HTTP as the settings want it is not installed."""
    if not installed():
        raise PluginError(
            "serving HTTP needs packages that are not installed",
            stage="web",
            hint='pip install "hopyard[web]"',
        )
    if settings.web.oidc is not None:
        from hopyard.web import oidc

        oidc.check_installed()


def installed() -> bool:
    """Say whether what serves HTTP is installed."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "jinja2", "websockets"))


def run(hopyard: Hopyard) -> None:
    """Serve until told to end."""
    import uvicorn

    from hopyard.web.app import create_app
    from hopyard.web.serving import Server

    web = hopyard.settings.web
    config = uvicorn.Config(
        create_app(hopyard),
        host=web.host,
        port=web.port,
        log_config=None,
        access_log=False,
        log_level="info",  # below that headers of WebSockets are logged, with the keys in them
        server_header=False,
        proxy_headers=bool(web.proxies),
        forwarded_allow_ips=web.proxies or None,
        ssl_certfile=web.certificate,
        ssl_keyfile=web.certificate_key,
        timeout_graceful_shutdown=5,
        ws="websockets-sansio",
        ws_max_size=65_536,
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):  # which it raises again once it has stopped
        server.run()
    if not server.started:
        sys.exit(3)  # uvicorn has said why


def address(settings: Settings, port: int | None = None) -> str:
    """Return where browsers find it; `port` where it is another than the settings'."""
    web = settings.web
    if web.origins:
        return web.origins[0] + web.prefix
    host = f"[{web.host}]" if ":" in web.host else web.host
    if host in ("0.0.0.0", "[::]"):  # noqa: S104 - what the settings may say
        host = "127.0.0.1"
    return f"{'https' if web.certificate else 'http'}://{host}:{port or web.port}{web.prefix}"


async def login_link(
    hopyard: Hopyard, name: str, role: str, person: str | None = None, port: int | None = None
) -> str:
    """Return an address that lets one browser in, once, within a quarter of an hour."""
    from hopyard.ledger import access

    _, key = await access.make(
        hopyard.client().database, "login", name, role, person=person, seconds=LINK_SECONDS
    )
    # Behind `#`: what stands there is sent to no server, and so is in no log.
    return f"{address(hopyard.settings, port)}/login#{key}"


@command.command("login")
@click.option("--role", type=click.Choice(ROLES), default="admin", show_default=True)
@click.option("--name", default=None, help="Who it is for; who you are here unless given.")
@click.option("--person", help="Only what is done for this person.")
def login(role: str, name: str | None, person: str | None) -> None:
    """Print an address that lets one browser in, once."""
    import getpass

    async def work(hopyard: Hopyard) -> str:
        return await login_link(hopyard, name or person or getpass.getuser(), role, person)

    say(with_core(work))


@command.group("token", cls=ListingGroup)
def token() -> None:
    """Make, list and revoke tokens for the HTTP API."""


@token.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.option("--plugin", "plugins", multiple=True, help="Only what concerns this plugin; may be repeated.")
@click.option("--person", help="Only what is done for this person.")
@click.option("--days", type=click.FloatRange(0, 3660, min_open=True), help="How long it lasts.")
@json_option
def create(
    name: str, role: str, plugins: tuple[str, ...], person: str | None, days: float | None, as_json: bool
) -> None:
    """Make a token and print it: it is shown this once."""
    checks.name("NAME", name)
    if person is not None:
        checks.name("--person", person)

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        from hopyard.ledger import access

        known = [record.name for record in hopyard.plugins.records]
        for plugin in plugins:
            checks.choice("--plugin", plugin, known)
        id_, key = await access.make(
            hopyard.client().database,
            "token",
            name,
            role,
            plugins=plugins or None,
            person=person,
            seconds=None if days is None else days * 86_400,
        )
        return {"id": id_, "token": key}

    emit(with_core(work), as_json, lambda made: say(made["token"]))


@token.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List tokens and sessions; the secrets are nowhere."""

    async def work(hopyard: Hopyard) -> list[dict[str, Any]]:
        from dataclasses import asdict

        from hopyard.ledger import access

        return [asdict(key) for key in await access.listed(hopyard.client().database)]

    emit(with_core(work), as_json, _render)


def _render(rows: list[dict[str, Any]]) -> None:
    table(
        "Tokens and sessions",
        ("id", "kind", "name", "role", "plugins", "person", "expires (UTC)", "used (UTC)"),
        [
            (
                row["id"],
                row["kind"],
                row["name"],
                row["role"],
                ", ".join(row["plugins"] or ()),
                row["person"] or "",
                f"{row['expires']:%Y-%m-%d %H:%M}" if row["expires"] else "",
                f"{row['used']:%Y-%m-%d %H:%M}" if row["used"] else "",
            )
            for row in rows
        ],
        drop=("plugins", "person", "used (UTC)"),
    )


@token.command("revoke")
@click.argument("id")
def revoke(id: str) -> None:  # noqa: A002 - the argument's name on the command line
    """Revoke a token or a session, with the sessions that were made of it."""

    async def work(hopyard: Hopyard) -> bool:
        from hopyard.ledger import access

        return await access.revoke(hopyard.client().database, id)

    if not with_core(work):
        raise click.UsageError(f"there is no token or session `{id}`")
    say("revoked")
