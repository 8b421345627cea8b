"""OAuth 2: tokens for clients, what they say, and how they end."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet

from api.signing import Algorithms
from api.wiring import Services
from ledger.values import Kind
from tests import given

GRANT = {"grant_type": "client_credentials"}


class OAuthClient:
    """A credential of the kind oauth_client, and how it talks to the endpoints."""

    def __init__(self, client: FlaskClient, services: Services, organisation: UUID, **changes: Any) -> None:
        self._client = client
        receipt, self.secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT, **changes)
        self.id, self.public_id = receipt.id, receipt.state.public_id

    def post(self, path: str, form: Mapping[str, str], **more: Any) -> Any:
        """The response to a form that is sent with Basic."""
        basic = b64encode(f"{self.public_id}:{self.secret}".encode()).decode()
        return self._client.post(path, data=form, headers={"Authorization": f"Basic {basic}"}, **more)

    def token(self, **form: str) -> str:
        """An access token."""
        answer = self.post("/oauth2/token", GRANT | form)
        assert answer.status_code == 200, answer.text
        token: str = answer.json["access_token"]
        return token

    def active(self, token: str) -> bool:
        """Whether introspection takes the token for good."""
        active: bool = self.post("/oauth2/introspect", {"token": token}).json["active"]
        return active


MakeClient = Callable[..., OAuthClient]


@pytest.fixture
def oauth_client(client: FlaskClient, services: Services, organisation: UUID) -> OAuthClient:
    """An OAuth client of the organisation."""
    return OAuthClient(client, services, organisation)


def read(client: FlaskClient, token: str) -> Any:
    """The token, checked with the published keys."""
    keys = KeySet.import_key_set(client.get("/.well-known/jwks.json").json)
    return jwt.decode(token, keys, registry=Algorithms(algorithms=["EdDSA", "ES256"]))


def test_a_client_gets_a_token_that_the_published_keys_verify(client: FlaskClient, oauth_client: OAuthClient) -> None:
    answer = oauth_client.post("/oauth2/token", GRANT)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 600)
    token = read(client, answer.json["access_token"])
    assert (token.header["typ"], token.header["alg"]) == ("at+jwt", "EdDSA")
    assert token.claims["sub"] == token.claims["client_id"] == oauth_client.public_id
    assert token.claims["exp"] == token.claims["iat"] + 600
    assert {"iss", "aud", "jti", "scope"} <= token.claims.keys()
    assert oauth_client.active(answer.json["access_token"])
