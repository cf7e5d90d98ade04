"""A provider of OpenID Connect on a port, which does as it should unless a test tells it otherwise, and a
browser that logs in with it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
from fastapi import FastAPI, Request
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from starlette.responses import JSONResponse, RedirectResponse, Response
from web_lab import listening

CLIENT: Final = "hopyard"
SECRET: Final = "s3cret+of/registration"
#: Where the browser finds the dashboard.
HERE: Final = "http://localhost:8600"

Answer = Callable[[Request], Awaitable[Response]]


def new_key(kind: str = "RS256", kid: str | None = "first") -> Key:
    """Return a private key for an algorithm."""
    named: Any = {} if kid is None else {"kid": kid}
    if kind[:2] in ("RS", "PS"):
        return RSAKey.generate_key(2048, named)
    if kind[:2] == "ES":
        curves: Any = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
        return ECKey.generate_key(curves[kind], named)
    if kind == "Ed25519":
        return OKPKey.generate_key("Ed25519", named)
    return OctKey.generate_key(512, named)


def encoded(value: bytes) -> str:
    """Return bytes as tokens have them."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token_of(
    claims: Mapping[str, Any] | bytes,
    key: Key,
    algorithm: str = "RS256",
    kid: str | None = "first",
    **more: Any,
) -> str:
    """Return a signed token."""
    header = {"alg": algorithm, "typ": "JWT"} | ({} if kid is None else {"kid": kid}) | more
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = 1_000_000
    return jws.serialize_compact(header, payload, key, registry=registry)


class FakeProvider:
    """What tests change is public: what it claims, signs and answers."""

    def __init__(self) -> None:
        self.issuer = ""
        self.keys: dict[str, Key] = {"first": new_key()}
        self.claims: dict[str, Any] = {"sub": "248289761001", "groups": ["staff"]}
        self.document: dict[str, Any] = {}
        """What its discovery document says otherwise than it should."""
        self.back: dict[str, str | None] = {}
        """What it sends browsers back with otherwise; None leaves it out."""
        self.answers: dict[str, Answer] = {}
        """How it answers at a path otherwise."""
        self.token: Callable[[dict[str, Any]], Any] = lambda claims: token_of(claims, self.keys["first"])
        self.public = False
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.app = FastAPI()
        for path, answer in (
            ("/.well-known/openid-configuration", self._discovery),
            ("/keys", self._keys),
            ("/authorize", self._authorize),
            ("/token", self._token),
        ):
            self.app.add_api_route(path, self._answering(path, answer), methods=["GET", "POST"])

    def _answering(self, path: str, usual: Answer) -> Any:
        async def answer(request: Request) -> Response:
            self.asked.append(path)
            return await self.answers.get(path, usual)(request)

        return answer

    async def _discovery(self, _: Request) -> Response:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?realm=main",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        return JSONResponse(said | self.document)

    async def _keys(self, _: Request) -> Response:
        found: list[Any] = [key.as_dict(private=False, use="sig") for key in self.keys.values()]
        return JSONResponse({"keys": found})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["realm"] == "main"
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        sent = {"code": code, "state": asked["state"], "iss": self.issuer} | self.back
        query = urlencode({name: value for name, value in sent.items() if value is not None})
        return RedirectResponse(f"{asked['redirect_uri']}?{query}", 303)

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if not self._is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        begun = self.codes.pop(form["code"], None)
        challenge = encoded(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            begun is None
            or begun["code_challenge"] != challenge
            or begun["redirect_uri"] != form["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            return JSONResponse({"error": "invalid_grant", "error_description": "code sesame"}, 400)
        claims = self.usual(begun["nonce"]) | self.claims
        return JSONResponse(
            {"access_token": "unused", "token_type": "Bearer", "id_token": self.token(claims)}
        )

    def _is_client(self, request: Request, form: Mapping[str, str]) -> bool:
        if self.public:
            return form.get("client_id") == CLIENT and "authorization" not in request.headers
        if "client_secret_post" in self.document.get("token_endpoint_auth_methods_supported", []):
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        pair = base64.b64encode(f"{CLIENT}:s3cret%2Bof%2Fregistration".encode()).decode()
        return request.headers.get("authorization") == f"Basic {pair}" and "client_secret" not in form

    def usual(self, nonce: str) -> dict[str, Any]:
        """Return what a token claims for a login."""
        now = int(time.time())
        return {"iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": nonce}


@contextlib.asynccontextmanager
async def provider_on_a_port() -> AsyncIterator[FakeProvider]:
    """A provider behind a real server."""
    made = FakeProvider()
    async with listening(made.app) as port:
        made.issuer = f"http://127.0.0.1:{port}"
        yield made


class _Form(HTMLParser):
    """The address that a page goes on to by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.on: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "meta" and found.get("http-equiv") == "refresh":
            self.on = str(found["content"]).removeprefix("0; url=")


def goes_on_to(page: httpx2.Response) -> str | None:
    """Return where a page leads by itself."""
    return _Form(page.text).on


class Browser:
    """A browser with its cookies; what it asks the provider goes over the port."""

    def __init__(self, app: FastAPI, prefix: str = "", base: str = HERE, address: str = "127.0.0.1") -> None:
        self.prefix = prefix
        transport = httpx2.ASGITransport(app, client=(address, 123))
        self.client = httpx2.AsyncClient(
            transport=transport,
            base_url=base,
            headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin"},
        )

    async def begin(self, next_: str = "/", **headers: str) -> httpx2.Response:
        """Follow the button."""
        path = f"{self.prefix}/login/oidc"
        return await self.client.get(path, params={"next": next_}, headers=headers)

    @staticmethod
    async def sent_back(address: str) -> str:
        """Log in at the provider; return where it sends the browser."""
        async with httpx2.AsyncClient() as outside, asyncio.timeout(30):
            answer = await outside.get(address)
            assert answer.status_code == 303, answer.text
            return str(answer.headers["location"])

    async def come_back(self, address: str) -> httpx2.Response:
        """Open the address that the provider has sent the browser to, which is the dashboard's."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}" == str(self.client.base_url).rstrip("/")
        return await self.client.get(f"{parts.path}?{parts.query}", headers={"Sec-Fetch-Site": "cross-site"})

    async def log_in(self, next_: str = "/") -> httpx2.Response:
        """Log in; return the page at which that ends."""
        begun = await self.begin(next_)
        if begun.status_code != 303:
            return begun
        return await self.come_back(await self.sent_back(begun.headers["location"]))
