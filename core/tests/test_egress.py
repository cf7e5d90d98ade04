"""What leaves the machine: judged addresses, bounded answers, failures by kind. Real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hopyard import conceal
from hopyard.egress import Egress, Resolver, task_errors
from hopyard.errors import (
    AuthenticationError,
    EgressRefused,
    InvalidInput,
    RateLimited,
    SpecError,
    TimeLimitExceeded,
    TransientError,
)


class Site(ThreadingHTTPServer):
    """A web server that answers by path and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None]] = []
        self.bodies: list[tuple[str | None, bytes]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.release = threading.Event()
        self.scheme = "http"

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.bodies.append((self.headers["Content-Type"], body))
        self.server.seen.append((self.path, self.headers["Host"]))
        if self.path == "/slow":
            self.server.release.wait(30)
        status, headers, body = self.server.answers.get(self.path.partition("?")[0], (200, {}, b"hello"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site()
    if tls is not None:
        site.socket = tls.wrap_socket(site.socket, server_side=True)
        site.scheme = "https"
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.release.set()
        site.shutdown()
        thread.join()
        site.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as running:
        yield running


@pytest.fixture
def egress(site: Site) -> Egress:
    return Egress([f"127.0.0.1:{site.port}"])


def names(**table: str) -> Resolver:
    """A resolver that knows these names (`_` for `.`); whatever else it is asked is an address already."""
    known = {name.replace("_", "."): addresses.split() for name, addresses in table.items()}

    async def resolve(host: str, port: int) -> Sequence[str]:
        return known.get(host, [host])

    return resolve


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("LOCALHOST", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f.1", "loopback"),
        ("017700000001", "loopback"),
        ("127.1", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::ffff:7f00:1]", "loopback"),
        ("[2002:7f00:1::]", "loopback"),
        ("[64:ff9b::a00:1]", "private"),
        ("0.0.0.0", "unspecified"),
        ("[::]", "unspecified"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("[fd00::1]", "private"),
        ("[fec0::1]", "private"),
        ("224.0.0.1", "multicast"),
        ("[ff02::1]", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
    ],
)
async def test_addresses_that_are_not_public_are_refused_however_they_are_written(
    site: Site, host: str, kind: str
) -> None:
    with pytest.raises(EgressRefused, match=rf"an? {kind} address.*\[egress\] allow = \["):
        await Egress().request("GET", f"http://{host}:{site.port}/")
    assert not site.seen


async def test_public_addresses_need_no_permission() -> None:
    resolve = names(example_org="93.184.215.14 2606:2800:21f::1", nat64_org="64:ff9b::5db8:d70e")
    egress = Egress(resolve=resolve)
    assert await egress.addresses("example.org", 80) == ["93.184.215.14", "2606:2800:21f::1"]
    assert await egress.addresses("nat64.org", 80) == ["64:ff9b::5db8:d70e"]


async def test_only_the_usable_addresses_of_a_name_are_connected_to() -> None:
    egress = Egress(resolve=names(mixed_org="10.0.0.1 93.184.215.14"))
    assert await egress.addresses("mixed.org", 80) == ["93.184.215.14"]


@pytest.mark.parametrize(
    "entry",
    ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}", "hop.test", "hop.test:{port}", "HOP.test", "0.0.0.0/0"],
)
async def test_the_operator_allows_by_host_port_and_network(site: Site, entry: str) -> None:
    egress = Egress(
        [entry.format(port=site.port)], resolve=names(hop_test="127.0.0.1", hop_test_="127.0.0.1")
    )
    response = await egress.request("GET", site.url(host="hop.test"))
    assert response.text == "hello"
    assert site.seen == [("/", f"hop.test:{site.port}")]
    assert await egress.addresses("hop.test", site.port) == await egress.addresses("hop.test.", site.port)


@pytest.mark.parametrize("entry", ["hop.test:1", "127.0.0.1:1", "10.0.0.0/8", "test", "[::1]"])
async def test_another_entry_does_not_allow(site: Site, entry: str) -> None:
    egress = Egress([entry], resolve=names(hop_test="127.0.0.1"))
    with pytest.raises(EgressRefused, match=f'allow = ."hop.test:{site.port}"'):
        await egress.request("GET", site.url(host="hop.test"))


@pytest.mark.parametrize("entry", ["", "http://x", "host:0", "host:port", "10.0.0.0/99", "a b"])
def test_an_entry_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(SpecError, match=r"egress\.allow"):
        Egress([entry])


async def test_a_domain_stands_for_all_hosts_below_it(site: Site) -> None:
    egress = Egress(["*.internal.example"], resolve=names(deep_in_internal_example="127.0.0.1"))
    assert (await egress.request("GET", site.url(host="deep.in.internal.example"))).status_code == 200
    beside = Egress(["*.internal.example"], resolve=names(internal_example="127.0.0.1"))
    with pytest.raises(EgressRefused, match="loopback"):
        await beside.request("GET", site.url(host="internal.example"))


@pytest.mark.parametrize("method", ["GÉT", "", "GET POST", "G\r\nX: y", "G" * 50])
async def test_what_is_no_method_is_invalid_input(egress: Egress, site: Site, method: str) -> None:
    with pytest.raises(InvalidInput, match="method"):
        await egress.request(method, site.url())


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"X-Name": "Zoë"}},
        {"headers": {"X-Näme": "z"}},
        {"headers": {"X": "a\r\nb"}},
        {"json": {"a": float("nan")}},
        {"json": {"a": object()}},
        {"json": "\ud800"},
    ],
)
async def test_what_no_request_can_hold_is_invalid_input(
    egress: Egress, site: Site, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        await egress.request("POST", site.url(), **given)


@pytest.mark.parametrize("host", ["ä\ud800", "ｅxample.com", "a..b", "xn--", "a" * 300, "é" * 64])
async def test_hosts_beyond_ascii_are_errors_of_the_tree(host: str) -> None:
    with pytest.raises((InvalidInput, TransientError)):
        await Egress().request("GET", f"http://{host}/")


@pytest.mark.parametrize("charset", ["klingon", "undefined", "base64", "idna", "punycode", "rot13", "\xff"])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_charset_that_is_none_is_read_as_utf8(
    site: Site, egress: Egress, charset: str, status: int
) -> None:
    site.answers["/odd"] = (status, {"Content-Type": f"text/plain; charset={charset}"}, "grün".encode())
    if status == 200:
        assert (await egress.request("GET", site.url("/odd"))).text == "grün"
    else:
        with pytest.raises(TransientError, match="grün"):
            await egress.request("GET", site.url("/odd"))


async def test_a_packed_body_of_several_members_is_read_whole(site: Site, egress: Egress) -> None:
    packed = gzip.compress(b"first ") + gzip.compress(b"second " * 5000) + gzip.compress(b"third")
    site.answers["/members"] = (200, {"Content-Encoding": "gzip"}, packed)
    body = (await egress.request("GET", site.url("/members"))).content
    assert body == b"first " + b"second " * 5000 + b"third"
    with pytest.raises(InvalidInput, match="longer than 100"):
        await egress.request("GET", site.url("/members"), max_bytes=100)


@pytest.mark.parametrize("length", ["99999", "-1", "many", "3, 4"])
@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "gzip"}])
async def test_a_length_that_is_not_the_bodys_is_a_failure_to_try_again(
    site: Site, egress: Egress, length: str, encoding: dict[str, str]
) -> None:
    site.answers["/lies"] = (200, {"Content-Length": length, **encoding}, gzip.compress(b"hello"))
    with pytest.raises(TransientError):
        await egress.request("GET", site.url("/lies"))


async def test_a_body_is_json_or_a_form(site: Site, egress: Egress) -> None:
    await egress.request("POST", site.url(), json={"a": 1})
    await egress.request("POST", site.url(), form={"grant_type": "refresh_token", "scope": "a b&c"})
    await egress.request("GET", site.url())
    assert site.bodies == [
        ("application/json", b'{"a":1}'),
        ("application/x-www-form-urlencoded", b"grant_type=refresh_token&scope=a+b%26c"),
        (None, b""),
    ]


async def test_the_connection_goes_to_the_address_that_was_judged(site: Site) -> None:
    """A name server that answers differently the second time gains nothing."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.9.9.9"]

    egress = Egress(["127.0.0.1"], resolve=rebinding)
    assert (await egress.request("GET", site.url(host="rebind.test"))).text == "hello"
    assert asked == ["rebind.test"]
    with pytest.raises(EgressRefused, match=r"10\.9\.9\.9"):
        await egress.request("GET", site.url(host="rebind.test"))


async def test_redirects_are_judged_like_first_requests(site: Site) -> None:
    with serving() as other:
        site.answers["/away"] = (302, {"Location": other.url("/secret")}, b"")
        egress = Egress([f"127.0.0.1:{site.port}"])
        with pytest.raises(EgressRefused, match=f":{other.port}"):
            await egress.request("GET", site.url("/away"), follow_redirects=True)
        assert not other.seen


async def test_redirects_to_other_schemes_are_refused(site: Site, egress: Egress) -> None:
    site.answers["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises((EgressRefused, InvalidInput, TransientError), match=r"(?i)scheme|protocol"):
        await egress.request("GET", site.url("/file"), follow_redirects=True)


async def test_redirects_are_followed_only_when_asked_and_not_for_ever(site: Site, egress: Egress) -> None:
    site.answers["/once"] = (301, {"Location": "/there"}, b"")
    site.answers["/loop"] = (302, {"Location": "/loop"}, b"")
    with pytest.raises(InvalidInput, match="301, a redirect"):
        await egress.request("POST", site.url("/once"))
    followed = await egress.request("GET", site.url("/once"), follow_redirects=True)
    assert followed.text == "hello"
    site.seen.clear()
    with pytest.raises(InvalidInput, match="TooManyRedirects"):
        await egress.request("GET", site.url("/loop"), follow_redirects=True)
    assert len(site.seen) == 6


async def test_proxies_of_the_environment_are_not_used(
    site: Site, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await egress.request("GET", site.url())).status_code == 200
        assert not proxy.seen


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "file:///etc/passwd", "example.org", "http://", "http://[/"]
)
async def test_what_is_no_http_url_is_invalid_input(url: str) -> None:
    with pytest.raises(InvalidInput):
        await Egress().request("GET", url)


async def test_the_client_refuses_other_schemes_too() -> None:
    async with Egress().client() as client:
        with pytest.raises((EgressRefused, httpx2.UnsupportedProtocol)):
            await client.get("ftp://example.org/")


async def test_bodies_are_bounded(site: Site, egress: Egress) -> None:
    site.answers["/long"] = (200, {}, b"x" * 2000)
    assert len((await egress.request("GET", site.url("/long"), max_bytes=2000)).content) == 2000
    with pytest.raises(InvalidInput, match="longer than 1999 bytes"):
        await egress.request("GET", site.url("/long"), max_bytes=1999)


async def test_the_bound_is_on_what_a_packed_body_unpacks_to(site: Site, egress: Egress) -> None:
    bomb = gzip.compress(b"x" * 5_000_000)
    site.answers["/bomb"] = (200, {"Content-Encoding": "gzip"}, bomb)
    assert len(bomb) < 10_000
    assert len((await egress.request("GET", site.url("/bomb"))).content) == 5_000_000
    with pytest.raises(InvalidInput, match="longer than 100000 bytes"):
        await egress.request("GET", site.url("/bomb"), max_bytes=100_000)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"whole", mtime=0)[:-9]),
        ("br", b"x"),
        ("gzip, gzip", b"x"),
    ],
)
async def test_packed_bodies_that_cannot_be_read_are_failures(
    site: Site, egress: Egress, encoding: str, body: bytes
) -> None:
    site.answers["/packed"] = (200, {"Content-Encoding": encoding}, body)
    with pytest.raises(TransientError, match="DecodingError"):
        await egress.request("GET", site.url("/packed"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInput),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, InvalidInput),
        (408, TransientError),
        (429, RateLimited),
        (500, TransientError),
        (503, TransientError),
    ],
)
async def test_statuses_become_kinds_of_failure(
    site: Site, egress: Egress, status: int, error: type[Exception]
) -> None:
    site.answers["/key/s3cret"] = (status, {}, b"because")
    with pytest.raises(error, match=f"answered {status}") as caught:
        await egress.request("GET", site.url("/key/s3cret?token=s3cret"))
    assert type(caught.value) is error
    assert "s3cret" not in str(caught.value)


async def test_a_secret_in_an_answer_is_masked_before_it_is_cut(site: Site, egress: Egress) -> None:
    secret = "CANARY-" + "0123456789abcdef" * 3
    conceal(secret)
    site.answers["/echo"] = (400, {}, b"x" * 180 + secret.encode())
    with pytest.raises(InvalidInput) as caught:
        await egress.request("GET", site.url("/echo"))
    assert str(caught.value).endswith("x***")


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (lambda: "17", 17, 17),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True), 60, 91),
        (lambda: format_datetime(datetime.now(UTC) - timedelta(seconds=90), usegmt=True), 0, 0),
    ],
)
async def test_retry_after_is_heeded(
    site: Site, egress: Egress, header: Callable[[], str], low: float, high: float
) -> None:
    site.answers["/limited"] = (429, {"Retry-After": header()}, b"")
    with pytest.raises(RateLimited) as caught:
        await egress.request("GET", site.url("/limited"))
    assert caught.value.retry_after is not None
    assert low <= caught.value.retry_after <= high


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}])
async def test_without_a_readable_retry_after_there_is_none(
    site: Site, egress: Egress, headers: dict[str, str]
) -> None:
    site.answers["/limited"] = (429, headers, b"")
    with pytest.raises(RateLimited) as caught:
        await egress.request("GET", site.url("/limited"))
    assert caught.value.retry_after is None


async def test_a_silent_server_is_a_time_limit(site: Site, egress: Egress) -> None:
    with pytest.raises(TimeLimitExceeded, match=r"within 0\.2 s"):
        await egress.request("GET", site.url("/slow"), timeout=0.2)


async def test_no_connection_and_no_such_name_are_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(TransientError, match="ConnectError"):
        await Egress(["127.0.0.1"]).request("GET", f"http://127.0.0.1:{port}/")

    async def nobody(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(TransientError, match="cannot be resolved"):
        await Egress(resolve=nobody).request("GET", "http://nowhere.test/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key for the name hop.test."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    parts = ["-newkey", "rsa:2048", "-nodes", "-keyout", "both.pem", "-out", "cert.pem", "-days", "2"]
    names = ["-subj", "/CN=hop.test", "-addext", "subjectAltName=DNS:hop.test"]
    subprocess.run(["openssl", "req", "-x509", *parts, *names], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(both.read_text() + (folder / "cert.pem").read_text())
    return both


async def test_tls_is_verified_by_name_although_the_connection_goes_to_an_address(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    asked: list[str | None] = []
    server.sni_callback = lambda sock, name, context: asked.append(name)
    trust = ssl.create_default_context(cafile=certificate.with_name("cert.pem"))
    resolve = names(hop_test="127.0.0.1", other_test="127.0.0.1")
    with serving(server) as site:
        egress = Egress(["127.0.0.1"], resolve=resolve, tls=trust)
        assert (await egress.request("GET", site.url(host="hop.test"))).text == "hello"
        assert asked == ["hop.test"]
        with pytest.raises(TransientError, match=r"(?i)mismatch"):
            await egress.request("GET", site.url(host="other.test"))
        with pytest.raises(TransientError, match=r"(?i)verify failed"):
            await Egress(["127.0.0.1"], resolve=resolve).request("GET", site.url(host="hop.test"))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx2.ConnectError("no"), TransientError),
        (httpx2.ReadTimeout("slow"), TimeLimitExceeded),
        (TimeoutError(), TimeLimitExceeded),
        (httpx2.InvalidURL("no"), InvalidInput),
        (ValueError("no JSON"), InvalidInput),
        (EgressRefused("no"), EgressRefused),
    ],
)
def test_errors_of_a_client_become_those_of_tasks(raised: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected), task_errors("a place", 5):
        raise raised


def test_the_module_loads_without_its_heavy_libraries() -> None:
    code = "import hopyard.egress, sys; sys.exit('httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- connections for other protocols


async def test_a_connection_goes_to_the_address_that_was_judged(site: Site) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["10.9.8.7", "127.0.0.1"]

    egress = Egress([f"mail.example:{site.port}", "127.0.0.1"], resolve=resolve)
    # Only the port is allowed of the first address, and nobody is there: the second one answers.
    with await Egress(["127.0.0.1"], resolve=resolve).connect("mail.example", site.port) as made:
        assert made.getpeername() == ("127.0.0.1", site.port)
        assert made.gettimeout() == 30
    assert asked == ["mail.example"]
    egress.check("mail.example", "10.9.8.7", site.port)


async def test_a_connection_to_an_address_that_is_not_public_is_refused(site: Site) -> None:
    with pytest.raises(EgressRefused, match=r"loopback address.*127\.0\.0\.1:"):
        await Egress().connect("127.0.0.1", site.port)
    with pytest.raises(EgressRefused, match="private address"):
        Egress().check("files.example", "192.168.1.1", 21)
    Egress().check("files.example", "93.184.216.34", 21)


async def test_a_connection_that_nobody_answers_is_a_failure_to_try_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        port = taken.getsockname()[1]
        with pytest.raises(TransientError, match="ConnectionRefused"):
            await Egress(["127.0.0.1"]).connect("127.0.0.1", port)

    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(8, "no such name")

    with pytest.raises(TransientError, match="no such name"):
        await Egress(resolve=nowhere).connect("mail.example", 25)


async def test_a_connection_that_takes_too_long_is_a_timeout() -> None:
    async def hangs(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(TimeLimitExceeded, match=r"within 0\.05 s"):
        await Egress(resolve=hangs).connect("mail.example", 25, timeout=0.05)
