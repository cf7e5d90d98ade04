"""Logging in by OpenID Connect: who gets in, as what, and what goes wrong without letting anybody in."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("joserfc")

from fastapi import FastAPI, Request
from hopyard.cli._errors import message
from hopyard.cli.web import check_installed
from hopyard.errors import PluginError
from hopyard.ledger import access
from hopyard.settings import load
from hopyard.testing import Hop
from hopyard.web import create_app
from oidc_provider import (
    CLIENT,
    HERE,
    SECRET,
    Browser,
    FakeProvider,
    goes_on_to,
    new_key,
    provider_on_a_port,
    token_of,
)
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

PREFIX: Final = "/ops"
ROLES: Final = {"staff": "viewer", "on-call": "operator", "heads": "admin"}

Serve = Callable[..., FastAPI]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with provider_on_a_port() as made:
        yield made


@pytest.fixture
def serve(provider: FakeProvider, tmp_path: Path) -> Iterator[Serve]:
    """Returns the dashboard of an installation whose people log in by the provider."""
    opened: list[Hop] = []

    def serve(web: dict[str, Any] | None = None, allow: list[str] | None = None, **more: Any) -> FastAPI:
        oidc = {
            "issuer": provider.issuer,
            "client_id": CLIENT,
            "client_secret": None if provider.public else SECRET,
            "name": "Company <SSO>",
            "roles": ROLES,
        } | more
        reached = [urlsplit(provider.issuer).netloc] if allow is None else allow
        settings = {"web": {"oidc": oidc, **(web or {})}, "egress": {"allow": reached}}
        hop = Hop({}, folder=tmp_path / f"data{len(opened)}", settings=settings)
        opened.append(hop)
        return create_app(hop.hopyard, prefix=PREFIX)

    yield serve
    for hop in reversed(opened):
        hop.close()


async def who(browser: Browser) -> dict[str, Any] | None:
    """Return whom the browser's session lets in."""
    answer = await browser.client.get(f"{PREFIX}/api/me", headers={"Accept": "application/json"})
    return answer.json() if answer.status_code == 200 else None


def database(app: FastAPI) -> Any:
    return app.state.served.database


# -- what is right


async def test_who_logs_in_at_the_provider_is_in_and_on_record(serve: Serve, provider: FakeProvider) -> None:
    app = serve()
    browser = Browser(app, PREFIX)
    shown = await browser.client.get(f"{PREFIX}/login?next=/jobs")
    assert "Log in with Company &lt;SSO&gt;" in shown.text
    assert f'href="{PREFIX}/login/oidc?next=%2Fjobs"' in shown.text
    assert "form-action 'self';" in shown.headers["content-security-policy"]
    begun = await browser.begin("/jobs?state=dead")
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert f"Path={PREFIX}" in cookie
    done = await browser.come_back(await browser.sent_back(begun.headers["location"]))
    assert done.status_code == 200, done.text
    assert goes_on_to(done) == f"{PREFIX}/jobs?state=dead"
    session, over = done.headers.get_list("set-cookie")[::-1]
    assert "hopyard_session=hop_" in session
    assert "SameSite=strict" in session
    assert 'hopyard_login=""' in over
    me = await who(browser)
    assert me is not None
    assert (me["name"], me["role"]) == ("248289761001", "viewer")
    (act,) = await access.acts(database(app))
    assert (act.who, act.role, act.act, act.target) == ("248289761001", "viewer", "log in", "by oidc")
    assert act.data == {"subject": "248289761001", "issuer": provider.issuer}
    (kept,) = await access.listed(database(app))
    assert (kept.kind, kept.parent) == ("session", None)
    assert kept.expires is not None
    assert (kept.expires - kept.created).total_seconds() == pytest.approx(12 * 3600)
    await browser.client.post(f"{PREFIX}/logout", headers={"Origin": HERE})
    assert await who(browser) is None


async def test_the_buttons_page_leads_to_the_provider_only_where_it_is_set(tmp_path: Path) -> None:
    with Hop({}, folder=tmp_path / "plain") as hop:
        browser = Browser(create_app(hop.hopyard, prefix=PREFIX), PREFIX)
        assert "Log in with" not in (await browser.client.get(f"{PREFIX}/login")).text
        assert (await browser.begin()).status_code == 404


@pytest.mark.parametrize(
    ("more", "claims", "expected"),
    [
        ({}, {"groups": "on-call"}, ("operator", None, None)),
        ({}, {"groups": ["staff", "heads", "on-call", 7, None]}, ("admin", None, None)),
        ({"default_role": "viewer"}, {"groups": ["others"]}, ("viewer", None, None)),
        ({"role_claim": "realm_access.roles"}, {"realm_access": {"roles": ["heads"]}}, ("admin", None, None)),
        ({"role_claim": "https://a.test/r"}, {"https://a.test/r": ["heads"]}, ("admin", None, None)),
        ({"plugins": {"heads": ["mail"]}}, {"groups": ["heads", "staff"]}, ("admin", ("mail",), None)),
        ({"plugins": {"staff": ["mail"]}}, {"groups": ["heads", "staff"]}, ("admin", None, None)),
        ({"personal": ["viewer"]}, {"groups": ["staff"]}, ("viewer", None, "248289761001")),
        ({"personal": ["viewer"]}, {"groups": ["heads"]}, ("admin", None, None)),
    ],
)
async def test_claims_say_what_somebody_may(
    serve: Serve,
    provider: FakeProvider,
    more: dict[str, Any],
    claims: dict[str, Any],
    expected: tuple[Any, ...],
) -> None:
    provider.claims |= claims
    app = serve(**more)
    assert (await Browser(app, PREFIX).log_in()).status_code == 200
    (key,) = await access.listed(database(app))
    assert (key.role, key.plugins, key.person) == expected


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["others"]},
        {"groups": {"staff": True}},
        {"groups": None},
        {"groups": [["staff"]]},
        {"groups": "staff,heads"},
        {"groups": ["STAFF"]},
    ],
)
async def test_who_has_no_role_stays_out(
    serve: Serve, provider: FakeProvider, claims: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    provider.claims |= claims
    app = serve()
    browser = Browser(app, PREFIX)
    done = await browser.log_in()
    assert done.status_code == 403
    assert "no role here" in done.text
    assert await access.listed(database(app)) == []
    assert await who(browser) is None
    assert "248289761001" in caplog.text


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"email": "ada@example.com", "email_verified": True}, 200),
        ({"email": "ada@example.com", "email_verified": False}, 403),
        ({"email": "ada@example.com"}, 403),
        ({"email_verified": True}, 403),
        ({"email": ["ada@example.com"], "email_verified": True}, 403),
        ({"email": "a" * 201, "email_verified": True}, 403),
        ({"email": "a\0b", "email_verified": True}, 403),
    ],
)
async def test_an_address_counts_only_if_it_is_verified(
    serve: Serve, provider: FakeProvider, claims: dict[str, Any], status: int
) -> None:
    provider.claims |= claims
    app = serve(person_claim="email")
    assert (await Browser(app, PREFIX).log_in()).status_code == status
    assert [key.name for key in await access.listed(database(app))] == ["ada@example.com"] * (status == 200)


@pytest.mark.parametrize("way", ["basic", "post", "public"])
async def test_each_way_of_signing_and_of_showing_who_asks(
    serve: Serve, provider: FakeProvider, way: str
) -> None:
    provider.public = way == "public"
    if way == "post":
        provider.document["token_endpoint_auth_methods_supported"] = ["client_secret_post", "private_key_jwt"]
    app = serve()
    algorithms = ("RS256", "PS384", "ES256", "ES512", "Ed25519")
    provider.keys = {algorithm: new_key(algorithm, algorithm) for algorithm in algorithms}
    for algorithm, key in provider.keys.items():
        provider.token = partial(token_of, key=key, algorithm=algorithm, kid=algorithm)
        assert (await Browser(app, PREFIX).log_in()).status_code == 200, algorithm


async def test_a_proxy_that_is_named_makes_the_address_and_the_cookie_secure(
    serve: Serve, provider: FakeProvider
) -> None:
    app = serve({"origins": ["https://first.test", "https://ops.test"]})
    browser = Browser(app, PREFIX, "https://ops.test")
    begun = await browser.begin()
    assert begun.headers["set-cookie"].startswith("__Host-hopyard_login=")
    assert "Path=/;" in begun.headers["set-cookie"] + ";"
    assert "Secure" in begun.headers["set-cookie"]
    done = await browser.come_back(await browser.sent_back(begun.headers["location"]))
    assert done.status_code == 200
    inside = await Browser(app, PREFIX, "http://10.0.0.7:8600").begin()
    asked = parse_qs(urlsplit(inside.headers["location"]).query)
    assert asked["redirect_uri"] == [f"https://first.test{PREFIX}/login/oidc/callback"]


async def test_a_host_that_nobody_has_named_leads_nowhere(serve: Serve) -> None:
    app = serve()
    for host in ("http://evil.test", "http://localhost.evil.test", "http://localhost:80:80"):
        headers = {"Host": host.partition("//")[2]}
        answer = await Browser(app, PREFIX).begin(**headers)
        assert answer.status_code == 400
        assert "web.origins" in answer.text


async def test_next_leads_only_to_pages_of_ours(serve: Serve) -> None:
    app = serve()
    for wrong in (
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "javascript:alert(1)",
        "/\t/evil",
        "",
        "x",
    ):
        done = await Browser(app, PREFIX).log_in(wrong)
        assert done.status_code == 200
        assert goes_on_to(done) == f"{PREFIX}/"


async def test_next_is_looked_at_again_when_it_comes_back(serve: Serve) -> None:
    browser = Browser(serve(), PREFIX)
    begun = await browser.begin()
    key = browser.client.cookies["hopyard_login"].partition(".")[0]
    browser.client.cookies.clear()
    browser.client.cookies.set("hopyard_login", f"{key}.Ly9ldmlsLnRlc3Q")
    done = await browser.come_back(await browser.sent_back(begun.headers["location"]))
    assert goes_on_to(done) == f"{PREFIX}/"


async def test_a_page_that_reads_like_markup_is_text(serve: Serve) -> None:
    done = await Browser(serve(), PREFIX).log_in("/jobs?text='\"><script>;url=x")
    assert goes_on_to(done) == f"{PREFIX}/jobs?text='\"><script>;url=x"


# -- answers that are no answers to this login


async def test_an_answer_is_taken_once(serve: Serve, provider: FakeProvider) -> None:
    app = serve()
    browser = Browser(app, PREFIX)
    begun = await browser.begin()
    kept = browser.client.cookies["hopyard_login"]
    address = await browser.sent_back(begun.headers["location"])
    assert (await browser.come_back(address)).status_code == 200
    asked = provider.asked.count("/token")
    for _ in range(2):
        browser.client.cookies.set("hopyard_login", kept, path=PREFIX)
        assert (await browser.come_back(address)).status_code == 400
    assert provider.asked.count("/token") == asked
    assert len(await access.listed(database(app))) == 1


async def test_a_code_that_was_used_lets_nobody_in(serve: Serve, provider: FakeProvider) -> None:
    browser = Browser(serve(), PREFIX)
    first = await browser.sent_back((await browser.begin()).headers["location"])
    code = parse_qs(urlsplit(first).query)["code"][0]
    assert (await browser.come_back(first)).status_code == 200
    provider.back["code"] = code
    browser.client.cookies.clear()
    done = await browser.log_in()
    assert done.status_code == 502
    assert await who(browser) is None


async def test_a_code_of_somebody_elses_login_lets_nobody_in(serve: Serve, provider: FakeProvider) -> None:
    app = serve()
    victim, thief = Browser(app, PREFIX), Browser(app, PREFIX)
    stolen = await victim.sent_back((await victim.begin()).headers["location"])
    provider.back["code"] = parse_qs(urlsplit(stolen).query)["code"][0]
    assert (await thief.log_in()).status_code == 502
    assert await who(thief) is None


async def test_an_answer_to_another_browser_is_refused_and_uses_nothing_up(serve: Serve) -> None:
    app = serve()
    mine, other = Browser(app, PREFIX), Browser(app, PREFIX)
    address = await mine.sent_back((await mine.begin()).headers["location"])
    assert (await other.come_back(address)).status_code == 400
    await other.begin()
    assert (await other.come_back(address)).status_code == 400
    kept = dict(other.client.cookies)
    for state in ("", "&state=", "&state=" + "A" * 43, "&state=%ff", "&state=" + "x" * 5_000):
        wrong = f"{HERE}{PREFIX}/login/oidc/callback?code=x{state}"
        assert (await other.come_back(wrong)).status_code in (400, 422)
    assert dict(other.client.cookies) == kept
    assert (await mine.come_back(address)).status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", "x", ".", "hop_", "hop_" + "a" * 12 + "_" + "b" * 43, "\xff.\xff", "a.*"]
)
async def test_a_cookie_of_nobodys_making_is_refused(serve: Serve, cookie: str) -> None:
    app = serve()
    browser = Browser(app, PREFIX)
    headers = {b"cookie": b"hopyard_login=" + cookie.encode("latin-1")}
    answer = await browser.client.get(f"{PREFIX}/login/oidc/callback?state=x&code=y", headers=headers)
    assert answer.status_code == 400


async def test_a_login_that_took_too_long_is_over(serve: Serve) -> None:
    app = serve()
    browser = Browser(app, PREFIX)
    address = await browser.sent_back((await browser.begin()).headers["location"])
    d = database(app).dialect
    await database(app).execute(f"UPDATE access_key SET expires = {d.minus(d.now, '$1')}", 1.0)
    assert (await browser.come_back(address)).status_code == 400


async def test_a_login_that_has_begun_opens_nothing_and_is_not_listed(serve: Serve) -> None:
    app = serve()
    browser = Browser(app, PREFIX)
    await browser.begin()
    key = browser.client.cookies["hopyard_login"].partition(".")[0]
    assert await access.listed(database(app)) == []
    for headers in ({"Authorization": f"Bearer {key}"}, {"Cookie": f"hopyard_session={key}"}):
        answer = await browser.client.get(f"{PREFIX}/api/me", headers=headers | {"Accept": "*/*"})
        assert answer.status_code == 401
    headers = {"Origin": HERE}
    answer = await browser.client.post(f"{PREFIX}/login", json={"key": key}, headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_sites_page_begins_no_login(serve: Serve, provider: FakeProvider, site: str) -> None:
    answer = await Browser(serve(), PREFIX).begin(**{"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert provider.asked == []


@pytest.mark.parametrize(
    ("iss", "always", "status"),
    [
        ("https://other.test", False, 502),
        ("", False, 502),
        (None, False, 200),
        (None, True, 502),
    ],
)
async def test_an_answer_of_another_issuer_is_refused(
    serve: Serve, provider: FakeProvider, iss: str | None, always: bool, status: int
) -> None:
    provider.document["authorization_response_iss_parameter_supported"] = always
    provider.back["iss"] = iss
    assert (await Browser(serve(), PREFIX).log_in()).status_code == status
    assert provider.asked.count("/token") == (status == 200)  # it is not told the code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("access_denied", 403),
        ("login_required", 403),
        ("server_error", 502),
        ("<script>alert(1)</script>", 502),
    ],
)
async def test_what_the_provider_refuses_is_told(
    serve: Serve, provider: FakeProvider, caplog: pytest.LogCaptureFixture, error: str, status: int
) -> None:
    provider.back = {"code": None, "error": error, "error_description": "sesame"}
    done = await Browser(serve(), PREFIX).log_in()
    assert done.status_code == status
    assert "<script>alert" not in done.text
    assert "sesame" not in done.text
    assert error[:20] in caplog.text


async def test_too_many_wrong_answers_and_too_many_logins_are_limited(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few that none comes back while the test goes on.
    monkeypatch.setattr("hopyard.web.security._WRONG_PER_MINUTE", 1)
    monkeypatch.setattr("hopyard.web.security._BEGUN_PER_MINUTE", 1)
    app = serve()
    browser = Browser(app, PREFIX)
    wrong = f"{HERE}{PREFIX}/login/oidc/callback?state=x&code=y"
    assert [(await browser.come_back(wrong)).status_code for _ in range(3)] == [400, 429, 429]
    assert [(await browser.begin()).status_code for _ in range(3)] == [303, 429, 429]
    assert (await Browser(app, PREFIX, address="127.0.0.2").log_in()).status_code == 200


# -- a provider that does not do as it should


async def _hang(request: Request) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


async def _endless(_: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000_000

    return StreamingResponse(body(), media_type="application/json")


def _always(status: int = 200, **more: Any) -> Any:
    async def answer(_: Request) -> Response:
        return Response(status_code=status, **more)

    return answer


async def _inwards(_: Request) -> Response:
    return RedirectResponse("http://169.254.169.254/latest/meta-data", 307)


HOSTILE: Final[dict[str, Any]] = {
    "endless": _endless,
    "redirect": _inwards,
    "fault": _always(500, content="sesame open"),
    "none": _always(404),
    "html": _always(content="<html>sesame</html>"),
    "list": _always(content="[]"),
    "deep": _always(content="[" * 100_000),
    "text": _always(content='{"keys": "x", "id_token": 7}'),
    "latin": _always(content=b"\xff\xfe"),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
async def test_a_wrong_answer_lets_nobody_in_and_tells_nothing(
    serve: Serve, provider: FakeProvider, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    hopyard = serve().state.served.hopyard
    for how, answer in HOSTILE.items():
        caplog.clear()
        provider.answers = {path: answer}
        app = create_app(hopyard, prefix=PREFIX)  # which knows nothing of the provider yet
        browser = Browser(app, PREFIX)
        done = await browser.log_in()
        assert done.status_code == 502, how
        assert "the log of this server says more" in done.text
        assert "sesame" not in done.text
        assert provider.issuer not in done.text
        assert SECRET not in caplog.text
        (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert "a login by OpenID Connect failed" in record.message
        assert await who(browser) is None
        await _token_login_works(app)
        provider.answers.clear()
        assert (await Browser(app, PREFIX).log_in()).status_code == 200  # what was wrong is not kept


async def _token_login_works(app: FastAPI) -> None:
    _, token = await access.make(database(app), "token", "ada", "admin")
    browser = Browser(app, PREFIX)
    assert (await browser.client.get(f"{PREFIX}/login")).status_code == 200
    answer = await browser.client.post(f"{PREFIX}/login", json={"key": token}, headers={"Origin": HERE})
    assert answer.status_code == 200
    assert await who(browser) is not None


async def test_a_provider_that_hangs_is_given_up(
    serve: Serve, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.web.oidc.provider._TIMEOUT", 0.2)
    for path in ("/.well-known/openid-configuration", "/token", "/keys"):
        provider.answers = {path: _hang}
        assert (await Browser(serve(), PREFIX).log_in()).status_code == 502


async def test_a_provider_that_is_not_there(serve: Serve) -> None:
    app = serve(issuer="http://127.0.0.1:1", allow=["127.0.0.1"])
    assert (await Browser(app, PREFIX).begin()).status_code == 502
    await _token_login_works(app)


async def test_a_private_address_is_asked_only_if_it_is_allowed(
    serve: Serve, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await Browser(serve(allow=[]), PREFIX).begin()).status_code == 502
    assert provider.asked == []
    assert "[egress] allow" in caplog.text
    provider.document["token_endpoint"] = "http://10.0.0.1/token"
    assert (await Browser(serve(), PREFIX).log_in()).status_code == 502
    assert "10.0.0.1 is 10.0.0.1, a private address" in caplog.text


WRONG_DOCUMENTS: Final[list[dict[str, Any]]] = [
    {"issuer": "https://other.test"},
    {"issuer": None},
    {"authorization_endpoint": "javascript:alert(1)"},
    {"authorization_endpoint": "http://a.test/\r\nSet-Cookie: x=y"},
    {"authorization_endpoint": "http://a.test/#x"},
    {"token_endpoint": "http://["},
    {"token_endpoint": None},
    {"jwks_uri": ["x"]},
    {"jwks_uri": "file:///etc/passwd"},
    {"token_endpoint_auth_methods_supported": 7},
]


async def test_a_description_that_cannot_be_right_is_refused(serve: Serve, provider: FakeProvider) -> None:
    app = serve()
    for document in WRONG_DOCUMENTS:
        provider.document = document
        answer = await Browser(app, PREFIX).begin()
        assert answer.status_code == 502, document
        assert "location" not in answer.headers


async def test_the_issuer_ends_as_its_document_says(serve: Serve, provider: FakeProvider) -> None:
    provider.document["issuer"] = provider.issuer + "/"
    assert (await Browser(serve(), PREFIX).begin()).status_code == 502
    assert (await Browser(serve(issuer=provider.issuer + "/"), PREFIX).begin()).status_code == 303


# -- keys


async def test_documents_are_kept_and_an_unknown_key_is_looked_for_once_a_minute(
    serve: Serve, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = serve()
    for _ in range(3):
        assert (await Browser(app, PREFIX).log_in()).status_code == 200
    assert provider.asked.count("/keys") == provider.asked.count("/.well-known/openid-configuration") == 1
    provider.keys["second"] = new_key("RS256", "second")
    provider.token = lambda claims: token_of(claims, provider.keys["second"], kid="second")
    assert (await Browser(app, PREFIX).log_in()).status_code == 502  # looked at just now
    monkeypatch.setattr("hopyard.web.oidc.provider._AGAIN", 0.0)
    assert (await Browser(app, PREFIX).log_in()).status_code == 200
    monkeypatch.undo()
    asked = provider.asked.count("/keys")
    assert asked == 2
    provider.token = lambda claims: token_of(claims, provider.keys["second"], kid="third")
    for _ in range(5):
        assert (await Browser(app, PREFIX).log_in()).status_code == 502
    assert provider.asked.count("/keys") == asked


async def test_keys_that_are_none_are_passed_over(serve: Serve, provider: FakeProvider) -> None:
    good: Any = provider.keys["first"].as_dict(private=False)
    bad: list[Any] = [7, {}, {"kty": "oct", "k": "x", "kid": "first"}, {"kty": "RSA", "n": "A" * 9_000}]
    bad += [{**good, "use": "enc"}, {**good, "key_ops": ["sign"]}, {**good, "alg": "RS512"}]

    async def keys(_: Request) -> Response:
        return JSONResponse({"keys": [*bad, good]})

    provider.answers["/keys"] = keys
    assert (await Browser(serve(), PREFIX).log_in()).status_code == 200


async def test_a_token_that_is_wrong_lets_nobody_in(serve: Serve, provider: FakeProvider) -> None:
    stranger = new_key()
    provider.token = lambda claims: token_of(claims, stranger)
    app = serve()
    browser = Browser(app, PREFIX)
    assert (await browser.log_in()).status_code == 502
    assert await who(browser) is None
    assert await access.acts(database(app)) == []


# -- where it is not installed, or not set


async def test_without_what_it_needs_nothing_starts(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopyard.web.oidc.find_spec", lambda _: None)
    with pytest.raises(PluginError, match=r"web\.oidc") as refused:
        serve()
    assert refused.value.hint == 'pip install "hopyard[oidc]"'


def test_the_command_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopyard.web.oidc.find_spec", lambda _: None)
    section = 'issuer = "https://id.test"\nclient_id = "x"\ndefault_role = "viewer"\n'
    (tmp_path / "hopyard.toml").write_text(f"[web.oidc]\n{section}")
    settings = load(directory=tmp_path, environ={})
    with pytest.raises(PluginError) as refused:
        check_installed(settings)
    assert 'pip install "hopyard[oidc]"' in message(refused.value)
    (tmp_path / "hopyard.toml").write_text("")
    check_installed(load(directory=tmp_path, environ={}))  # who has not set it needs nothing


def test_nothing_of_it_is_imported_unless_it_is_set() -> None:
    program = (
        "import sys, tempfile, pathlib\n"
        "from hopyard.testing import Hop\n"
        "from hopyard.web import create_app\n"
        "with Hop({}, folder=pathlib.Path(tempfile.mkdtemp()) / 'x') as hop: create_app(hop.hopyard)\n"
        "assert not {'joserfc', 'hopyard.web.oidc.provider', 'hopyard.web.pages.oidc'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
