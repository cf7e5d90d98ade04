"""Logging in by a provider that others have written, as it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("joserfc")
if find_spec("oidc_provider_mock") is None:
    pytest.skip("the provider is one of the development group's packages", allow_module_level=True)

from hopyard.ledger import access
from hopyard.testing import Hop
from hopyard.web import create_app
from oidc_provider import Browser, goes_on_to
from servers import free_port

ADA = {"sub": "ada-17", "email": "ada@example.com", "email_verified": True, "groups": ["sre", "staff"]}


@pytest.fixture
async def issuer() -> AsyncIterator[str]:
    """A provider in a process of its own, which knows Ada."""
    port = free_port()
    command = [
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--user-claims",
        json.dumps(ADA),
        "--require-nonce",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"running on" not in (line := await process.stdout.readline()):
                assert line, "it ended before it served"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


async def test_ada_logs_in_and_her_claims_say_as_what(issuer: str, tmp_path: Path) -> None:
    oidc = {
        "issuer": issuer,
        "client_id": "hopyard",
        "client_secret": "whatever",
        "person_claim": "email",
        "roles": {"sre": "admin", "staff": "viewer"},
    }
    settings = {"web": {"oidc": oidc}, "egress": {"allow": ["127.0.0.1"]}}
    with Hop({}, folder=tmp_path / "data", settings=settings) as hop:
        app = create_app(hop.hopyard)
        browser = Browser(app)
        begun = await browser.begin("/jobs")
        assert begun.status_code == 303, begun.text
        async with httpx2.AsyncClient() as outside:
            asked = await outside.post(begun.headers["location"], data={"sub": "ada-17"})
        done = await browser.come_back(asked.headers["location"])
        assert done.status_code == 200, done.text
        assert goes_on_to(done) == "/jobs"
        (key,) = await access.listed(app.state.served.database)
        assert (key.name, key.role) == ("ada@example.com", "admin")
