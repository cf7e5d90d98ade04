"""A directory and a bucket that a connection keeps in step, for tests of plugin file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import obstore
from file_store import content, hop_with
from hopyard.testing import Hop
from hopyard_file.cloud.models import CloudReport
from object_servers import Moto
from obstore.store import S3Store


class Bucket:
    """A bucket and what is in it, past the plugin."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._store = S3Store(
            settings["bucket"],
            endpoint=settings["endpoint"],
            access_key_id="a",
            secret_access_key="b",
            region="us-east-1",
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        obstore.put(self._store, key, data)

    def put_raw(self, key: str, data: bytes) -> None:
        """Store an object with a name that obstore refuses."""
        place = f"{self.settings['endpoint']}/{self.settings['bucket']}/{quote(key, safe='')}"
        urlopen(Request(place, data, method="PUT"), timeout=30).close()

    def delete(self, key: str) -> None:
        """Remove an object."""
        obstore.delete(self._store, key)

    def content(self) -> dict[str, bytes]:
        """Return all objects."""
        keys = [one["path"] for page in obstore.list(self._store) for one in page]
        return {key: bytes(obstore.get(self._store, key).bytes()) for key in keys}


class Setup:
    """A directory, a bucket and an installation with the connection `docs` between them."""

    def __init__(self, tmp_path: Path, moto: Moto, **connection: Any) -> None:
        self.root = tmp_path / "docs"
        self.root.mkdir(exist_ok=True)
        self.bucket = Bucket(moto.bucket())
        own = {"root": "docs", "remote": self.bucket.settings, **connection}
        self.manager = hop_with(
            tmp_path / "hop", roots={"docs": self.root}, cloud={"connections": {"docs": own}}
        )
        self.hop: Hop = self.manager.__enter__()

    def close(self) -> None:
        """End the installation."""
        self.manager.__exit__(None, None, None)

    def sync(self, **arguments: Any) -> CloudReport:
        """Sync; return what was done."""
        outcome = self.hop.run("file.sync_cloud_storage", connection="docs", **arguments)
        return CloudReport.model_validate(outcome.result()[0])

    def equal(self) -> bool:
        """Say whether both sides have the same."""
        return content(self.root) == self.bucket.content()
