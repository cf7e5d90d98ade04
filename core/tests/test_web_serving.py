"""`hopyard web serve` as operators set it up: HTTPS, proxies that are believed, ports, routes of plugins."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from hopyard import Plugin, PluginSettings, hookimpl
from hopyard.cli.up import web_port
from hopyard.ledger import access, migrations
from hopyard.web import create_app
from ledgers import migrated
from servers import free_port
from sites import DEADLINE, Site, site_in

CORE = {migrations.CORE: migrations.CORE_PACKAGE}


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 and its key, `key.pem`."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    parts = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"]
    names = ["-subj", "/CN=hop.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *parts, *names], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


async def served(site: Site, client: httpx2.AsyncClient) -> str:
    """Start the server; return a token once it answers."""
    site.start("hopyard", "web", "serve", log="web")
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await client.get("/livez")
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
    _, token = await access.make(site.hopyard.client().database, "token", "ada", "admin")
    return token


async def addresses(site: Site) -> list[str]:
    """Return from where what was done was done, the latest first."""
    return [act.address for act in await access.acts(site.hopyard.client().database)]


@pytest.mark.parametrize("proxies", [[], ["127.0.0.1"]])
async def test_only_a_proxy_that_is_named_says_who_asks(tmp_path: Path, proxies: list[str]) -> None:
    port, url = free_port(), await migrated(CORE, file=tmp_path / "ledger.db")
    extra = f"[plugins]\nallow = []\n[web]\nport = {port}\nproxies = {proxies}\n"
    with site_in(tmp_path, broker="memory://localhost/", database=url, extra=extra) as site:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            token = await served(site, client)
            through = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
            answer = await client.post("/login", json={"key": token}, headers=through)
            assert answer.status_code == 200, answer.text
            believed = bool(proxies)
            assert ("Secure" in answer.headers["set-cookie"]) is believed
            assert ("strict-transport-security" in answer.headers) is believed
            assert await addresses(site) == ["203.0.113.7" if believed else "127.0.0.1"]
        await site.hopyard.close()


async def test_streams_end_when_the_server_does(tmp_path: Path) -> None:
    """They are not cut off in the middle, and nothing waits for those who only look."""
    port, url = free_port(), await migrated(CORE, file=tmp_path / "ledger.db")
    extra = f"[plugins]\nallow = []\n[web]\nport = {port}\n"
    with site_in(tmp_path, broker="memory://localhost/", database=url, extra=extra) as site:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as client:
            token = await served(site, client)
            headers = {"Authorization": f"Bearer {token}"}
            async with client.stream("GET", "/api/stream/jobs", headers=headers) as stream:
                lines = stream.aiter_lines()
                while await anext(lines) != "event: ready":
                    pass
                site.processes[-1].terminate()
                async for _ in lines:  # raises where the connection ends before the answer
                    pass
        assert "timeout graceful shutdown exceeded" not in (tmp_path / "web.log").read_text()
        await site.hopyard.close()


async def test_a_certificate_makes_it_https(tmp_path: Path) -> None:
    cert, port = certificate(tmp_path), free_port()
    url = await migrated(CORE, file=tmp_path / "ledger.db")
    extra = (
        f'[plugins]\nallow = []\n[web]\nport = {port}\ncertificate = "{cert}"\n'
        f'certificate_key = "{cert.with_name("key.pem")}"\n'
    )
    with site_in(tmp_path, broker="memory://localhost/", database=url, extra=extra) as site:
        trust = ssl.create_default_context(cafile=str(cert))
        async with httpx2.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trust) as client:
            token = await served(site, client)
            answer = await client.post("/login", json={"key": token})
            assert answer.status_code == 200, answer.text
            assert "Secure" in answer.headers["set-cookie"]
            assert "strict-transport-security" in answer.headers
            assert (await client.get("/api/me")).json()["name"] == "ada"
        await site.hopyard.close()


def test_where_the_usual_port_is_taken_another_one_is_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        def settings(source: str) -> Any:
            web = SimpleNamespace(host="127.0.0.1", port=port)
            return SimpleNamespace(web=web, source=lambda *key: source)

        chosen = web_port(settings("default"))
        assert chosen not in (None, port)
        assert web_port(settings("hopyard.toml:3")) is None
    assert web_port(settings("hopyard.toml:3")) == port


class Good(Plugin[PluginSettings]):
    @hookimpl
    def register_routes(self) -> Any:
        router = APIRouter()
        router.get("/hello")(lambda: "hello")
        return [router]


class Raising(Plugin[PluginSettings]):
    @hookimpl
    def register_routes(self) -> Any:
        raise RuntimeError("no routes today")


class Wrong(Plugin[PluginSettings]):
    @hookimpl
    def register_routes(self) -> Any:
        return [APIRouter(), "no router"]


async def test_a_plugin_whose_routes_fail_costs_only_them(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name, cls in (("good", Good), ("raising", Raising), ("wrong", Wrong)):
        lab.plugin(name, cls)
    app = create_app(lab.hopyard)
    _, token = await access.make(lab.ledger.database, "token", "ada", "viewer")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        assert (await client.get("/api/plugins/good/hello", headers=headers)).json() == "hello"
        assert (await client.get("/api/plugins/good/hello")).status_code == 401
    told = [record.getMessage() for record in caplog.records if "nothing to the HTTP API" in record.message]
    assert len(told) == 2
    assert "no routes today" in told[0]
    assert "expected APIRouter" in told[1]
    assert {*app.state.served.routed} >= {"good"}
    assert not {*app.state.served.routed} & {"raising", "wrong"}
