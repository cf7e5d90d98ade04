"""Messages reach a real listener by web hook and by Apprise; failures say what kind they are."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hopyard.egress import Egress
from hopyard.errors import EgressRefused, InvalidInput, NotifyError, RateLimited, TransientError
from hopyard.notifications.channels import built_in, deliver, fault, mask
from hopyard.specs import Message, Notifier

# Apprise looks at a module that this Python version announces the end of.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

MESSAGE = Message(id="0192-a", person="ada", title="Drink", body="Water, please", data={"n": 1})


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        self.headers: dict[str, str] = {}

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or "null")
        self.server.heard.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def egress(listener: Listener) -> Egress:
    return Egress([listener.place])


async def test_a_web_hook_gets_the_message_and_its_id_as_idempotency_key(
    listener: Listener, egress: Egress
) -> None:
    await deliver(f"http://{listener.place}/hook?k=1", MESSAGE, {}, egress)
    [(path, headers, body)] = listener.heard
    assert path == "/hook?k=1"
    assert headers["Idempotency-Key"] == "0192-a"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "id": "0192-a",
        "person": "ada",
        "title": "Drink",
        "body": "Water, please",
        "data": {"n": 1},
        "repeat": False,
    }


async def test_a_web_hook_in_the_private_network_is_refused_unless_allowed(listener: Listener) -> None:
    for address in (f"http://{listener.place}/", f"json://{listener.place}/"):
        with pytest.raises(EgressRefused, match="loopback"):
            await deliver(address, MESSAGE, {}, Egress())
    assert not listener.heard


async def test_failures_of_a_web_hook_are_told_apart(listener: Listener, egress: Egress) -> None:
    address = f"http://{listener.place}/s3cret"
    listener.status = 410
    with pytest.raises(InvalidInput) as gone:
        await deliver(address, MESSAGE, {}, egress)
    listener.status, listener.headers = 429, {"Retry-After": "7"}
    with pytest.raises(RateLimited) as limited:
        await deliver(address, MESSAGE, {}, egress)
    assert limited.value.retry_after == 7
    assert "s3cret" not in str(gone.value) + str(limited.value)


async def test_other_schemes_go_through_apprise(listener: Listener, egress: Egress) -> None:
    await deliver(f"json://{listener.place}/in", MESSAGE, {}, egress)
    [(path, _, body)] = listener.heard
    assert path == "/in"
    assert (body["title"], body["message"]) == ("Drink", "Water, please")


async def test_a_possible_repeat_is_marked(listener: Listener, egress: Egress) -> None:
    again = Message(id="1", person="ada", title="t", body="b", repeat=True)
    await deliver(f"json://{listener.place}/", again, {}, egress)
    await deliver(f"http://{listener.place}/", again, {}, egress)
    apprise, hook = (body for _, _, body in listener.heard)
    assert "may have been sent before" in apprise["message"]
    assert hook["repeat"] is True


async def test_a_failure_behind_apprise_is_transient(listener: Listener, egress: Egress) -> None:
    listener.status = 500
    with pytest.raises(TransientError, match=r"json://\*\*\* did not take"):
        await deliver(f"json://user:s3cret@{listener.place}/", MESSAGE, {}, egress)


@pytest.mark.parametrize("address", ["nosuch://s3cret", "s3cret@example.org", "", "://x", "https://"])
async def test_an_address_that_no_channel_takes_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(NotifyError) as caught:
        await deliver(address, MESSAGE, {}, Egress())
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "json"])
async def test_redirects_of_channels_are_judged(listener: Listener, scheme: str) -> None:
    """A channel that may be reached leads to one that may not."""
    other = Listener()
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        listener.status, listener.headers = 307, {"Location": f"http://{other.place}/inner"}
        with pytest.raises((EgressRefused, InvalidInput)):
            await deliver(f"{scheme}://{listener.place}/in", MESSAGE, {}, Egress([listener.place]))
        assert len(listener.heard) == 1
        assert other.heard == []
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


@pytest.mark.parametrize("scheme", ["http", "json"])
async def test_a_proxy_of_the_environment_is_not_used(
    listener: Listener, egress: Egress, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await deliver(f"{scheme}://{listener.place}/in", MESSAGE, {}, egress)
    assert [path for path, _, _ in listener.heard] == ["/in"]


async def test_requests_of_others_are_not_judged(listener: Listener, egress: Egress) -> None:
    import requests

    await deliver(f"json://{listener.place}/in", MESSAGE, {}, egress)
    answer = await asyncio.to_thread(requests.get, f"http://{listener.place}/own", timeout=10)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("xyz://foo", "an address that Apprise knows"),
        ("https://", "such as https://"),
        ("https://host:port/", "such as https://"),
        ("nourl", "such as https://"),
        ("://x", "such as https://"),
        ("mailto://a@b\n.example", "such as https://"),
    ],
)
def test_addresses_can_be_checked_beforehand(address: str, expected: str) -> None:
    found = fault(address, ["pigeon"])
    assert found
    assert expected in found


@pytest.mark.parametrize("address", ["https://host/x", "json://host/", "pigeon://loft", "http://[::1]:80/"])
def test_right_addresses_have_no_fault(address: str) -> None:
    assert fault(address, ["pigeon"]) is None


async def test_without_apprise_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotifyError, match=r"hopyard\[notify\]"):
        await deliver("tgram://s3cret/1", MESSAGE, {}, Egress())


async def test_a_plugins_notifier_comes_first() -> None:
    told: list[tuple[str, str]] = []

    async def tell(address: str, message: Message) -> None:
        told.append((address, message.id))

    await deliver("Pigeon://loft/7", MESSAGE, {"pigeon": Notifier("pigeon", tell)}, Egress())
    assert told == [("Pigeon://loft/7", "0192-a")]


def test_built_in_kinds() -> None:
    assert {scheme: notifier.kind for scheme, notifier in built_in(Egress()).items()} == {
        "http": "webhook",
        "https": "webhook",
    }


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("https://user:pw@hooks.example.org/T1/s3cret?k=v", "https://hooks.example.org/***"),
        ("https://example.org:8443", "https://example.org:8443"),
        ("http://[::1", "http://***"),
        ("tgram://12345:token/chat", "tgram://***"),
        ("mailto://user:pw@example.org", "mailto://***"),
        ("nonsense", "***"),
    ],
)
def test_mask_hides_what_may_be_a_credential(address: str, masked: str) -> None:
    assert mask(address) == masked


@pytest.mark.parametrize("format_", ["", "&format=html"])
async def test_what_somebody_wrote_is_sent_as_text(monkeypatch: pytest.MonkeyPatch, format_: str) -> None:
    import smtplib

    sent: list[str] = []

    class Mail:
        def __init__(self, *_: Any, **__: Any) -> None:
            """Connects to nothing."""

        def sendmail(self, sender: str, to: Any, message: str, *_: Any, **__: Any) -> dict[str, Any]:
            sent.append(message)
            return {}

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    monkeypatch.setattr(smtplib, "SMTP", Mail)
    message = Message(id="1", person="ada", title="T", body="<img src=https://evil.example/x>", data={})
    mail = f"mailto://127.0.0.1:2525/?from=a@example.org&to=b@example.org{format_}"
    await deliver(mail, message, {}, Egress(["127.0.0.1:2525"]))
    assert len(sent) == 1
    assert "text/html" not in sent[0]
    assert "text/plain" in sent[0]
