"""Keys on a real OpenBao server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bao_server import Bao, running_bao
from hopyard import Hopyard
from hopyard.errors import AuthenticationError, EgressRefused, InvalidInput, RateLimited, TransientError
from hopyard_maintenance import ApiKey, Maintenance
from hopyard_maintenance.keys import checking, managing
from hopyard_maintenance.keys.vault import VaultStore
from hopyard_maintenance.settings import VaultSettings
from pydantic import SecretStr

pytestmark = pytest.mark.parametrize("installed", ["sqlite"], indirect=True)

#: What the documentation says that the token needs.
POLICY = """
path "secret/data/hopyard/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/hopyard/*" { capabilities = ["read", "delete"] }
"""


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    """The server."""
    with running_bao() as made:
        yield made


@pytest.fixture
def store(bao: Bao, installed: Any, request: pytest.FixtureRequest) -> VaultStore:
    """Our store on it, below a prefix of the test's own, with a token that may do no more than is needed."""
    token = bao.limited_token(POLICY)
    prefix = f"hopyard/{request.node.name.partition('[')[0]}"
    settings = VaultSettings(url=bao.url, token=SecretStr(token), prefix=prefix)
    return VaultStore(settings, Hopyard.current().egress)


def key(id_: str, secret: str = "CANARY-secret") -> ApiKey:
    return ApiKey(id_, SecretStr(secret))


async def test_versions_are_kept_once_and_read(store: VaultStore) -> None:
    assert await store.read("acme", "v1") is None
    await store.keep("acme", "v1", key("k1", "the-first"))
    await store.keep("acme", "v1", key("k2", "the-second"))  # check-and-set: the first one stays
    found = await store.read("acme", "v1")
    assert found is not None
    assert (found.id, found.secret.get_secret_value()) == ("k1", "the-first")
    await store.remove("acme", "v1")
    await store.remove("acme", "v1")
    assert await store.read("acme", "v1") is None
    await store.keep("acme", "v1", key("k3"))
    assert await store.read("acme", "v1") is not None


async def test_the_current_one_has_a_place_of_its_own(store: VaultStore, bao: Bao) -> None:
    place = "hopyard/test_the_current_one_has_a_place_of_its_own/acme/current"
    for version in ("v1", "v1", "v2"):
        await store.publish("acme", version, key(version, f"secret-of-{version}"))
    told = bao.ask("GET", f"secret/data/{place}")["data"]
    assert told["data"] == {"version": "v2", "id": "v2", "secret": "secret-of-v2"}
    assert told["metadata"]["version"] == 2  # the second v1 wrote nothing
    bao.ask("DELETE", f"secret/data/{place}")  # by hand: its next version has another number
    await store.publish("acme", "v3", key("v3"))
    assert bao.ask("GET", f"secret/data/{place}")["data"]["metadata"]["version"] == 3


async def test_of_two_who_publish_at_once_one_is_refused(
    store: VaultStore, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "hopyard/test_of_two_who_publish_at_once_one_is_refused/acme/current"
    read, others = store._read, iter(("other",))

    async def meanwhile(where: str) -> Any:
        found = await read(where)
        for name in others:
            told = {"version": name, "id": name, "secret": "theirs-too"}
            bao.ask("POST", f"secret/data/{place}", {"data": told})
        return found

    monkeypatch.setattr(store, "_read", meanwhile)
    with pytest.raises(TransientError, match="somebody else has just changed"):
        await store.publish("acme", "v1", key("k1"))
    assert bao.ask("GET", f"secret/data/{place}")["data"]["data"]["version"] == "other"


async def test_what_is_no_key_of_ours_is_said(store: VaultStore, bao: Bao) -> None:
    place = "secret/data/hopyard/test_what_is_no_key_of_ours_is_said/acme/versions/v1"
    bao.ask("POST", place, {"data": {"password": "CANARY-theirs"}})
    with pytest.raises(InvalidInput, match="is no key of ours") as caught:
        await store.read("acme", "v1")
    assert "CANARY" not in str(caught.value)


async def test_a_token_that_may_not_is_said(installed: Any, bao: Bao) -> None:
    settings = VaultSettings(url=bao.url, token=SecretStr("s.wrong-token-CANARY"), prefix="hopyard")
    with pytest.raises(AuthenticationError, match="answered 403") as caught:
        await VaultStore(settings, Hopyard.current().egress).read("acme", "v1")
    assert "CANARY" not in str(caught.value)
    elsewhere = VaultSettings(url=bao.url, token=SecretStr(bao.limited_token(POLICY)), prefix="others")
    with pytest.raises(AuthenticationError):
        await VaultStore(elsewhere, Hopyard.current().egress).read("acme", "v1")


async def test_a_private_server_must_be_allowed_and_one_that_is_away_is_tried_again(installed: Any) -> None:
    egress = Hopyard.current().egress
    settings = VaultSettings(url="http://10.1.2.3:8200", token=SecretStr("s.token"))
    with pytest.raises(EgressRefused):
        await VaultStore(settings, egress).read("acme", "v1")
    settings = VaultSettings(url="http://127.0.0.1:1", token=SecretStr("s.token"))
    with pytest.raises(TransientError):
        await VaultStore(settings, egress).read("acme", "v1")


async def test_a_whole_rotation(installed: Any, bao: Bao) -> None:
    token = bao.limited_token(POLICY)
    vault = {"url": bao.url, "token": token, "prefix": "hopyard/whole"}
    installed.set(vault=vault, keys={"own": {"provider": "random", "store": "vault", "overlap_hours": 0}})
    job = installed.job()
    seen = set()
    for _ in range(3):
        report = await managing.rotate(job, ["own"], force=True, dry_run=False)
        assert report.problems == {}
        secret = (await Maintenance.current().read_key("own")).get_secret_value()
        told = bao.ask("GET", "secret/data/hopyard/whole/own/current")["data"]["data"]
        assert told["secret"] == secret
        seen.add(secret)
        versions = bao.ask("LIST", "secret/metadata/hopyard/whole/own/versions")["data"]["keys"]
        assert versions == [told["version"]]  # the one before is gone for good
    assert len(seen) == 3
    for table in ("maintenance_secret", "maintenance_rotation", "maintenance_key", "maintenance_key_event"):
        rows = str(await installed.rows(f"SELECT * FROM {table}"))
        assert not [secret for secret in seen if secret in rows]
        assert token not in rows
    assert (await checking.check()).ok
    installed.set(vault=vault | {"token": "s.revoked"})
    assert not (await checking.check()).ok


@pytest.mark.parametrize(
    ("mount", "expected"),
    [("kv1", "has an engine kv of version 1, expected kv of version 2"), ("typo", "answered 40[34]")],
)
async def test_no_key_is_made_for_a_mount_that_cannot_keep_it(
    installed: Any, bao: Bao, mount: str, expected: str
) -> None:
    if mount == "kv1" and "kv1/" not in bao.ask("GET", "sys/mounts")["data"]:
        bao.ask("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
    vault = {"url": bao.url, "token": bao.token, "mount": mount}
    installed.set(vault=vault, keys={"own": {"provider": "random", "store": "vault"}})
    report = await managing.rotate(installed.job(), ["own"], force=True, dry_run=False)
    assert re.search(expected, report.problems["own"]), report.problems
    assert [one.state for one in await managing.states()] == ["begun"]  # nothing was asked of the provider


class Liar:
    """A server that gives one answer to all requests that read, and one to all that write."""

    def __init__(self) -> None:
        outer = self
        self.answers: dict[str, tuple[int, bytes]] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = "GET" if self.command == "GET" else "other"
                status, answer = outer.answers[kind]
                answer = answer.replace(b"BODY", body.replace(b'"', b"'"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def store(self) -> VaultStore:
        return VaultStore(VaultSettings(url=self.url, token=SecretStr("s.token")), Hopyard.current().egress)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def liar(installed: Any) -> Iterator[Liar]:
    """A server that lies."""
    made = Liar()
    yield made
    made.close()


NONE = (404, b'{"errors": []}')
THEIRS = b'{"data": {"data": {"version": %s, "id": %s, "secret": %s}, "metadata": {"version": %s}}}'


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b""),
        (200, b"null"),
        (200, b"[]"),
        (200, b"<html>login</html>"),
        (200, b"[" * 100_000),
        (200, b'{"data": null}'),
        (200, THEIRS % (b"1", b"2", b"3", b'"x"')),
        (200, THEIRS % (b'"v1"', b'"i"', b'{"a": 1}', b"1")),
        (200, THEIRS % (b'"v1"', b'"a\\nb"', b'"CANARY-secret"', b"1")),
        (200, THEIRS % (b'"other"', b'"i"', b'"CANARY-of-another"', b"1")),
        (404, b'{"errors": ["no handler for route"]}'),
        (404, b"<html>no such page</html>"),
        (400, b'{"errors": ["upstream answered 404"]}'),
        (307, b""),
    ],
)
async def test_what_is_read_is_checked(liar: Liar, status: int, answer: bytes) -> None:
    liar.answers["GET"] = status, answer
    with pytest.raises(InvalidInput) as caught:
        await liar.store().read("acme", "v1")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (404, b'{"errors": []}', InvalidInput),
        (404, b"", InvalidInput),
        (204, b"", InvalidInput),
        (200, b"{}", InvalidInput),
        (400, b'{"errors": ["check-and-set parameter did not match the current version"]}', TransientError),
        (400, b'{"errors": ["we got BODY", "and no check-and-set"]}', InvalidInput),
        (412, b'{"errors": ["not yet"]}', TransientError),
        (503, b'{"errors": ["Vault is sealed"]}', TransientError),
        (429, b"", RateLimited),
        (403, b'{"errors": ["permission denied"]}', AuthenticationError),
    ],
)
async def test_what_is_written_counts_only_if_the_server_says_so(
    liar: Liar, status: int, answer: bytes, error: type[Exception]
) -> None:
    liar.answers = {"GET": NONE, "other": (status, answer)}
    with pytest.raises(error) as caught:
        await liar.store().keep("acme", "v1", key("k1"))
    assert "CANARY" not in str(caught.value)
    with pytest.raises(error):
        await liar.store().publish("acme", "v1", key("k1"))


async def test_a_removal_that_finds_no_engine_is_none(liar: Liar) -> None:
    liar.answers["other"] = 404, b'{"errors": ["no handler for route"]}'
    with pytest.raises(InvalidInput, match="answered 404: no handler"):
        await liar.store().remove("acme", "v1")


@pytest.mark.parametrize(
    "url", ["http://u:CANARY@h", "http://h/?x=", "http://h/#", "http://", "http://h\r\nX: y", "ftp://h"]
)
async def test_addresses_that_cannot_work_are_refused(installed: Any, url: str) -> None:
    with pytest.raises(ValueError, match="expected an address"):
        VaultSettings(url=url, token=SecretStr("s.token"))
