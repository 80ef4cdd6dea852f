"""A small OpenID Connect provider on loopback: code flow, PKCE with S256, one client with a secret."""

from __future__ import annotations

import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

Answer = tuple[int, dict[str, Any]]
CLIENT, SECRET = "jointsoc", "a secret of the client's"
LOG_IN_PAGE = b"<!doctype html><title>Provider</title><form method=post><button>Continue</button></form>"


@dataclass
class Provider:
    """What it says of the person who logs in next, and how it may lie."""

    address: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, parameters={"kid": "first"}))
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims of the person; may overwrite those the provider makes."""
    signs_with: RSAKey | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request."""
        if path == "/.well-known/openid-configuration":
            return 200, (
                {
                    "issuer": self.address,
                    "authorization_endpoint": f"{self.address}/authorize",
                    "token_endpoint": f"{self.address}/token",
                    "jwks_uri": f"{self.address}/keys",
                }
            )
        if path == "/keys":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if path == "/token":
            return self._token(headers, {name: values[0] for name, values in parse_qs(body.decode()).items()})
        return 404, {}

    def log_in(self, authorize: str) -> str:
        """What a person's browser does there; gives the address it is sent back to, path and query."""
        return "/login/oidc/callback?" + self._granted(authorize)

    def send_back(self, authorize: str) -> str:
        """The whole address that a person's browser is sent back to."""
        return parse_qs(urlsplit(authorize).query)["redirect_uri"][0] + "?" + self._granted(authorize)

    def _granted(self, authorize: str) -> str:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return urlencode({"code": code, "state": asked["state"]})

    def _token(self, headers: Mapping[str, str], sent: dict[str, str]) -> Answer:
        asked = self.codes.pop(sent.get("code", ""), None)
        basic = "Basic " + b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or headers.get("Authorization") != basic:
            return 400, {"error": "invalid_grant"}
        if create_s256_code_challenge(sent["code_verifier"]) != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        own = {"iss": self.address, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        signer = self.signs_with or self.key
        token = jwt.encode({"alg": "RS256", "kid": signer.kid}, own | self.claims, signer)
        return 200, {"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token}


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve until the block ends: under a name that is another site than the dashboard's, as browsers see it."""
    one = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/authorize?"):
                self._send(200, "text/html", LOG_IN_PAGE)
            else:
                self._answer()

        def do_POST(self) -> None:
            if self.path.startswith("/authorize?"):
                self._send(303, "text/html", b"", {"Location": one.send_back(self.path)})
            else:
                self._answer()

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, body = one.answer(self.path, self.headers, self.rfile.read(length))
            self._send(status, "application/json", orjson.dumps(body))

        def _send(self, status: int, kind: str, body: bytes, more: Mapping[str, str] = MappingProxyType({})) -> None:
            self.send_response(status)
            for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | more).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.address = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
