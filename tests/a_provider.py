"""An OpenID Connect provider on loopback that says whatever a test wants it to, right or wrong.

What a provider of others' making says is in `tests/console/test_provider_in_a_browser.py`.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

CLIENT_ID, CLIENT_SECRET = "keyledger-console", "s:e/c r+e%t"


@dataclass
class AProvider:
    """What it says and what it was asked. `tokens` makes an ID token of its claims, with its key unless a test wants
    another; `metadata` is laid over what it publishes of itself.
    """

    issuer: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", parameters={"kid": "first"}))
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    tokens: Callable[["AProvider", dict[str, Any]], str] = lambda provider, claims: jwt.encode(
        {"alg": "ES256", "kid": provider.key.kid}, claims, provider.key
    )
    challenge: str = ""
    nonce: str = ""

    def agree(self, address: str) -> str:
        """Somebody signs in and agrees at the address that they were sent to: the query of the answer."""
        parts = urlsplit(address)
        asked = {name: value for name, [value] in parse_qs(parts.query).items()}
        assert f"{parts.scheme}://{parts.netloc}" == self.issuer
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == (
            "code",
            CLIENT_ID,
            "S256",
        )
        self.challenge, self.nonce = asked["code_challenge"], asked["nonce"]
        return f"code=a-code&state={asked['state']}"

    def answer(self, path: str, body: str, headers: Any) -> dict[str, Any]:
        """What it answers."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                **self.metadata,
            }
        if path == "/jwks":
            return dict(KeySet([self.key]).as_dict(private=False))
        if path == "/userinfo":
            assert headers["Authorization"] == "Bearer an-access-token"
            return self.userinfo
        given = {name: value for name, [value] in parse_qs(body).items()}
        assert headers["Authorization"] == "Basic a2V5bGVkZ2VyLWNvbnNvbGU6cyUzQWUlMkZjK3IlMkJlJTI1dA=="
        assert given["grant_type"] == "authorization_code"
        if create_s256_code_challenge(given["code_verifier"]) != self.challenge or given["code"] != "a-code":
            return {"error": "invalid_grant"}
        now = int(time.time())
        standard = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "ada-1", "iat": now, "exp": now + 300}
        claims = {**standard, "nonce": self.nonce, "name": "Ada Lovelace", **self.claims}
        said = {name: value for name, value in claims.items() if value is not None}
        return {"access_token": "an-access-token", "token_type": "Bearer", "id_token": self.tokens(self, said)}


@contextmanager
def a_provider() -> Iterator[AProvider]:
    """One that is running."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            said = provider.answer(urlsplit(self.path).path, body, self.headers)
            content = json.dumps(said).encode()
            self.send_response(503 if provider.down else 400 if "error" in said else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = AProvider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
