"""Settings of backups and connections that would do harm are refused, with what was found and expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from file_store import hop_with
from hopyard_file.cloud.settings import RcloneRemote
from hopyard_file.settings import FileSettings
from pydantic import ValidationError
from pyrage import x25519  # type: ignore[import-untyped]

IDENTITY = str(x25519.Identity.generate())


def backup(**repositories: dict[str, Any]) -> dict[str, Any]:
    """Settings of a source `docs` and of repositories."""
    first = next(iter(repositories))
    return {"sources": {"docs": {"root": "docs", "repository": first}}, "repositories": repositories}


def store(prefix: str) -> dict[str, Any]:
    return {"identities": [IDENTITY], "store": {"kind": "s3", "bucket": "one", "prefix": prefix}}


def check(
    tmp_path: Path, *, refused: str | None, root: dict[str, Any] | None = None, **sections: Any
) -> None:
    """Load an installation; it is refused with these words, or not."""
    (tmp_path / "docs").mkdir(exist_ok=True)
    manager = hop_with(tmp_path / "hop", roots={"docs": tmp_path / "docs"}, **sections)
    if refused is None:
        with manager:
            return
    with pytest.raises(Exception, match=refused), manager:
        pass


@pytest.mark.parametrize("place", ["docs", "docs/vault", ""])
def test_a_repository_and_its_source_are_apart(tmp_path: Path, place: str) -> None:
    own = {"directory": str(tmp_path / place), "identities": [IDENTITY]}
    check(tmp_path, refused="expected neither in the other", backup=backup(main=own))


def test_two_repositories_have_two_places(tmp_path: Path) -> None:
    own = {"directory": str(tmp_path / "vault"), "identities": [IDENTITY]}
    below = {**own, "directory": str(tmp_path / "vault" / "more")}
    for other in (own, below):
        check(tmp_path, refused="expected a place of its own", backup=backup(main=own, more=other))
    check(tmp_path, refused="expected a place of its own", backup=backup(main=store("a"), more=store("a/b")))
    check(tmp_path, refused=None, backup=backup(main=store("a"), more=store("b"), third=own))


def test_keys_are_age_keys(tmp_path: Path) -> None:
    own = {"directory": str(tmp_path / "vault"), "identities": ["AGE-SECRET-KEY-1WRONG"]}
    check(tmp_path, refused="expected an age identity", backup=backup(main=own))
    own = {"directory": str(tmp_path / "vault"), "identities": [IDENTITY], "recipients": ["age1wrong"]}
    check(tmp_path, refused="found 'age1wrong', expected an age recipient", backup=backup(main=own))


@pytest.mark.parametrize(("direction", "refused"), [("up", None), ("down", "writable"), ("both", "writable")])
def test_what_is_written_to_is_writable(tmp_path: Path, direction: str, refused: str | None) -> None:
    remote = {"kind": "s3", "bucket": "one"}
    cloud = {"connections": {"docs": {"root": "docs", "remote": remote, "direction": direction}}}
    (tmp_path / "docs").mkdir()
    given = {"roots": {"docs": {"path": str(tmp_path / "docs")}}, "cloud": cloud}
    if refused is None:
        FileSettings.model_validate(given)
    else:
        with pytest.raises(ValidationError, match=refused):
            FileSettings.model_validate(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pass", "x"),
        ("password", "x"),
        ("token", "{}"),
        ("client_secret", "x"),
        ("access_key_id_secret", "x"),
        ("key", "x"),
        ("service_account_credentials", "{}"),
        ("bearer_token", "x"),
        ("headers", "Authorization,Bearer x"),
        ("url", "https://user:word@example.com"),
        ("sas_url", "https://example.com/?sig=x"),
    ],
)
def test_secrets_are_no_options(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=f"found `{name}`, expected what may be shown"):
        RcloneRemote.model_validate({"kind": "rclone", "backend": "sftp", "options": {name: value}})


@pytest.mark.parametrize("name", ["host", "user", "key_file", "client_id", "access_key_id", "env_auth"])
def test_what_may_be_shown_is_an_option(name: str) -> None:
    RcloneRemote.model_validate({"kind": "rclone", "backend": "sftp", "options": {name: "x"}})
