"""The settings of cloud connections: a directory, the other side, and how they are kept equal."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from hopyard import PluginSettings
from pydantic import AfterValidator, Field, SecretStr, field_validator

from hopyard_file.cloud.stores import AzureBlobs, GoogleBucket, Prefix, S3Bucket, Url

YEAR: Final = 366 * 86_400.0

Direction = Literal["up", "down", "both"]
Conflicts = Literal["local", "remote", "newest", "both"]

#: Backends of rclone that lead to this machine's own files, or to remotes that are configured elsewhere.
_LEAD_ELSEWHERE: Final = frozenset(
    ("alias", "cache", "chunker", "combine", "compress", "crypt", "hasher", "local", "memory", "union")
)

#: Names of rclone's options that are secrets, and those among them that only say where or which one it is.
_SECRET: Final = re.compile(
    r"pass|token|key|secret|credential|auth|cookie|headers|_2fa|mnemonic|sas_url|connection_string"
)
_NO_SECRET: Final = re.compile(
    r"(_file|_path|_id|_url|_endpoint|_agent|_fingerprint|_exchange|_hash|_host_key)$|^(env_auth|ask_password|auth_type)$"
)
#: An address with a user and a password in it, or a signature.
_LOGS_IN: Final = re.compile(r"://[^/?#]*:[^/?#]*@|[?&](sig|token|key|X-Amz-Signature)=", re.IGNORECASE)


def _backend(value: str) -> str:
    if value in _LEAD_ELSEWHERE:
        raise ValueError(f"expected a backend of rclone that is a server of its own, found {value!r}")
    return value


class WebDav(PluginSettings):
    """A folder of a WebDAV server, by rclone."""

    kind: Literal["webdav"] = Field(description="`webdav`.")
    url: Url = Field(description="The server's address.")
    prefix: Prefix = Field("", description="The folder below it.")
    user: str = Field("", max_length=1000, description="Who logs in.")
    password: SecretStr | None = Field(None, description="Of the user.")
    vendor: Literal["fastmail", "nextcloud", "owncloud", "infinitescale", "rclone", "other"] = Field(
        "other", description="What kind of server it is, as rclone calls it."
    )


class RcloneRemote(PluginSettings):
    """Any other cloud that rclone knows (https://rclone.org/overview/)."""

    kind: Literal["rclone"] = Field(description="`rclone`.")
    backend: Annotated[str, Field(pattern=r"^[a-z0-9]{2,30}$"), AfterValidator(_backend)] = Field(
        description="The backend's name, such as `drive`, `dropbox`, `sftp`."
    )
    prefix: Prefix = Field("", description="The folder, or bucket and folder.")
    options: dict[str, str] = Field(default_factory=dict, description="Its options, as rclone calls them.")
    secrets: dict[str, SecretStr] = Field(
        default_factory=dict, description="Options that are secret: tokens, keys."
    )
    passwords: dict[str, SecretStr] = Field(
        default_factory=dict, description="Secret options that rclone keeps obscured, such as `pass`."
    )

    @field_validator("options")
    @classmethod
    def _holds_no_secrets(cls, options: dict[str, str]) -> dict[str, str]:
        for name, value in options.items():
            if (_SECRET.search(name.lower()) and not _NO_SECRET.search(name.lower())) or _LOGS_IN.search(
                value
            ):
                raise ValueError(
                    f"found `{name}`, expected what may be shown: what is secret belongs into `passwords` "
                    "(what rclone keeps obscured, such as `pass`) or `secrets` (tokens, keys)"
                )
        return options


Remote = Annotated[S3Bucket | AzureBlobs | GoogleBucket | WebDav | RcloneRemote, Field(discriminator="kind")]

#: What of a remote's settings says which one it is.
_WHICH: Final = ("kind", "url", "account", "container", "bucket", "prefix", "user", "backend", "options")


class ConnectionSettings(PluginSettings):
    """A directory and a folder in a cloud."""

    root: str = Field(
        description="The name of a root; `writable = true` in it, unless the direction is `up`."
    )
    remote: Remote = Field(description="The other side.")
    direction: Direction = Field("both", description="Which way changes travel.")
    conflicts: Conflicts = Field(
        "both",
        description="Who wins where both sides changed a file; `both` keeps both, one under another name.",
    )
    include: list[str] = Field(
        default_factory=list, description="Patterns of what is synced; all by default."
    )
    exclude: list[str] = Field(default_factory=list, description="Patterns of what is not.")
    max_delete: float = Field(
        0.25,
        ge=0,
        le=1,
        description="The share that one run may delete (one file always, five while half stay, never all).",
    )
    max_files: int = Field(1_000_000, ge=1, description="More files than that on a side are refused.")
    fold_case: bool = Field(
        True, description="Set names aside that differ in case only, which many clouds take for one."
    )
    read_back: bool = Field(
        True, description="Read uploads back where the other side tells no checksum to compare."
    )
    transfers: int = Field(4, ge=1, le=64, description="Files that travel at once.")
    bandwidth: int | None = Field(None, ge=1024, description="Bytes a second, up and down together.")
    timeout: float = Field(60.0, gt=0, le=3600, description="Seconds for one request.")
    person: str | None = Field(None, description="Who is told; `[alerts] to` unless given.")
    every: float = Field(3600.0, ge=10, le=YEAR, description="Seconds between two runs.")
    enabled: bool = Field(True, description="Whether it runs by itself.")


def sides_of(root: str, remote: Remote) -> str:
    """Return a digest of what the two sides of a connection are; `root` is the directory's path.

    Credentials are no part of it: a key that is exchanged leads to the same bucket.
    """
    told = {name: getattr(remote, name) for name in _WHICH if hasattr(remote, name)}
    if isinstance(remote, S3Bucket | AzureBlobs | GoogleBucket):
        told["url"] = remote.address()
    text = json.dumps([os.path.realpath(root), told], sort_keys=True)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


class CloudSettings(PluginSettings):
    """Connections by name."""

    connections: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], ConnectionSettings] = Field(
        default_factory=dict, description="What is kept in step with what."
    )

    def check_roots(self, writable: Mapping[str, bool]) -> None:
        """Raise `ValueError` where a connection would write below a root that is not writable."""
        for name, own in self.connections.items():
            if own.direction != "up" and writable.get(own.root) is False:
                raise ValueError(
                    f"connections.{name}: found the direction `{own.direction}` and the root `{own.root}`, "
                    'which is not writable: expected `writable = true` in it, or `direction = "up"`'
                )

    def root_names(self) -> Iterable[str]:
        """Return the names of all roots that these settings name, which must be declared."""
        return [one.root for one in self.connections.values()]
