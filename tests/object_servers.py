"""Real stores that the file plugin talks to: S3 (moto), WebDAV (rclone), Azure blobs (Azurite).

Each context manager starts one on a free port of 127.0.0.1, in a folder of its own; it ends with the tests.
A test whose server is not installed is skipped; where the environment has `CI=true`, it fails.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import free_port
from sync_servers import NODE, ROOT, folder, listens, needed, server

_PROGRAMS = ROOT / ".servers" / "bin"
#: Azurite's own account, which its documentation names.
_AZURE_ACCOUNT = "devstoreaccount1"
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Moto:
    """An S3 server that takes any credentials."""

    url: str

    def bucket(self) -> dict[str, Any]:
        """Make a bucket; return what the plugin needs to know of it."""
        name = f"test-{secrets.token_hex(6)}"
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        return {
            "kind": "s3",
            "bucket": name,
            "endpoint": self.url,
            "access_key": "an-access-key",
            "secret_key": "a-secret-key",
        }


@contextmanager
def running_moto() -> Iterator[Moto]:
    """An S3 server; what is in it is in its memory."""
    program = needed(_PROGRAMS / "moto_server")
    with folder() as place:
        port = free_port()
        with server([str(program), "-H", "127.0.0.1", "-p", str(port)], place, listens(port)):
            yield Moto(f"http://127.0.0.1:{port}")


@dataclass(frozen=True)
class WebDavServer:
    """A WebDAV server; `folder` has its files."""

    url: str
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin needs to know of it."""
        return {"kind": "webdav", "url": self.url, "user": "alice", "password": "secret-of-alice"}


@contextmanager
def running_webdav() -> Iterator[WebDavServer]:
    """A WebDAV server for one user."""
    program = needed(_PROGRAMS / "rclone")
    with folder() as place:
        port = free_port()
        (place / "files").mkdir()
        command = [str(program), "serve", "webdav", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"]
        command += ["--user", "alice", "--pass", "secret-of-alice", str(place / "files")]
        with server(command, place, listens(port)):
            yield WebDavServer(f"http://127.0.0.1:{port}", place / "files")


@dataclass(frozen=True)
class Azurite:
    """A server of Azure blobs with one account."""

    url: str

    def container(self) -> dict[str, Any]:
        """Make a container; return what the plugin needs to know of it."""
        name = f"test-{secrets.token_hex(6)}"
        program = needed(_PROGRAMS / "rclone")
        environment = {
            **os.environ,
            "RCLONE_CONFIG_AZ_TYPE": "azureblob",
            "RCLONE_CONFIG_AZ_ACCOUNT": _AZURE_ACCOUNT,
            "RCLONE_CONFIG_AZ_KEY": _AZURE_KEY,
            "RCLONE_CONFIG_AZ_ENDPOINT": self.url,
        }
        command = [str(program), "mkdir", f"az:{name}", "--config", "/dev/null"]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
        return {
            "kind": "azure",
            "account": _AZURE_ACCOUNT,
            "key": _AZURE_KEY,
            "container": name,
            "endpoint": self.url,
        }


@contextmanager
def running_azurite() -> Iterator[Azurite]:
    """A server of Azure blobs; what is in it is in its memory. It tells nobody anything."""
    program = needed(NODE / ".bin" / "azurite-blob")
    with folder() as place:
        port = free_port()
        command = [str(program), "--silent", "--disableTelemetry", "--inMemoryPersistence"]
        command += ["--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        with server(command, place, listens(port)):
            yield Azurite(f"http://127.0.0.1:{port}/{_AZURE_ACCOUNT}")
