"""`hopyard up`: everything on this machine, under one supervisor."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hopyard.cli._context import load_hopyard
from hopyard.cli._output import say
from hopyard.cli._processes import Keeper, child, worker_grace
from hopyard.cli._roles import patiently
from hopyard.cli.web import check_installed, installed, login_link

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.local.stack import StackFile
    from hopyard.settings import Settings
    from hopyard.supervise import ChildSpec, ChildStatus


@click.command("up")
@click.option("--quiet", is_flag=True, help="Say only what goes wrong.")
@click.option("--web/--no-web", default=True, help="Serve the dashboard and the HTTP API, if installed.")
def command(quiet: bool, web: bool) -> None:
    """Start broker, ledger, workers, scheduler and dashboard on this machine, and keep them running.

    What the settings do not name is embedded: Valkey and SQLite in the data directory. Ctrl-C stops all.
    """
    from hopyard.local.stack import StackFile
    from hopyard.monitor import logs

    hopyard = load_hopyard()
    logs.configure(hopyard.settings.log.level, hopyard.settings.log.format)
    with StackFile(hopyard.settings.data) as stack:
        patiently(lambda: asyncio.run(hopyard.upgrade()))
        port = web_port(hopyard.settings) if web and installed() else None
        if port is not None:
            check_installed(hopyard.settings)
        children = specs(hopyard, port)
        stack.write(broker_url=hopyard.broker_url, database_url=hopyard.database_url)
        keeper = Keeper(
            children, lambda: hopyard.database_url, on_change=lambda statuses: _write(stack, statuses)
        )
        if not quiet:
            _tell(hopyard, children)
            _tell_web(hopyard, web, port)
        keeper.run()
    if not quiet:
        say("stopped")


def specs(hopyard: Hopyard, web: int | None = None) -> list[ChildSpec]:
    """Return the processes of the stack, in the order of their start; `web` is the dashboard's port."""
    from hopyard.local import broker

    settings = hopyard.settings
    logs = settings.data / "logs"
    children = [broker.child_spec(settings.data)] if settings.broker_url is None else []
    for group, queues in groups(hopyard).items():
        arguments = ["worker", "--single", "--name", group, "--queues", ",".join(queues)]
        children.append(
            child(
                f"worker-{group}", arguments, grace=worker_grace(settings), log=logs / f"worker-{group}.log"
            )
        )
    children.append(child("scheduler", ["beat"], grace=10, log=logs / "scheduler.log"))
    if web is not None:
        arguments = ["--set", f"web.port={web}", "web", "serve"]
        children.append(child("web", arguments, grace=10, log=logs / "web.log"))
    return children


def web_port(settings: Settings) -> int | None:
    """Return the dashboard's port: that of the settings; where they name none and it is taken, a free one.

    None where the port that they name is taken.
    """
    host, port = settings.web.host, settings.web.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            if settings.source("web", "port") != "default":
                return None
            probe.bind((host, 0))
        return int(probe.getsockname()[1])


def groups(hopyard: Hopyard) -> dict[str, list[str]]:
    """Return the queues of each worker process: one per plugin, unless a queue names its group."""
    found: dict[str, list[str]] = {}
    for name, queue in sorted(hopyard.plugins.queues.items()):
        found.setdefault(queue.group or name.split(".", 1)[0], []).append(name)
    return found


def _write(stack: StackFile, statuses: Sequence[ChildStatus]) -> None:
    from hopyard.local.stack import StackProcess

    stack.update([StackProcess(status.name, status.pid) for status in statuses])


def _tell(hopyard: Hopyard, children: Sequence[ChildSpec]) -> None:
    say(f"Hopyard is up in {hopyard.settings.data}; Ctrl-C stops it.")
    say(f"  broker   {hopyard.broker_url}")
    say(f"  ledger   {hopyard.database_url}")
    say(f"  plugins  {', '.join(hopyard.plugins.names)}")
    say(f"  runs     {', '.join(spec.name for spec in children)}; logs in {hopyard.settings.data / 'logs'}")


def _tell_web(hopyard: Hopyard, wanted: bool, port: int | None) -> None:
    """Print where the dashboard is, with a link that lets one browser in; or why there is none."""
    web = hopyard.settings.web
    if port is not None:
        link = asyncio.run(login_link(hopyard, getpass.getuser(), "admin", port=port))
        say(f"  web      {link}")
        say("           opens in some seconds, for one browser, within 15 minutes; more: hopyard web login")
    elif wanted and installed():
        say(f"  web      not served: port {web.port} of {web.host} is taken", err=True)
    elif wanted:
        say('  web      not installed: pip install "hopyard[web]"')
