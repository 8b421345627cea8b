"""OAuth clients that registered a public key in place of a secret, and sign in with assertions (RFC 7523)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from api.signing import Algorithms
from tests.api.conftest import SignedIn
from tests.api.test_oauth import GRANT, by_gateway

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ISSUER = "http://127.0.0.1:8080"


class KeyClient:
    """A client that registered a public key over the API, and signs with the private one."""

    def __init__(self, client: FlaskClient, administrator: SignedIn, organisation: UUID, key: Key) -> None:
        self._client = client
        self.key = key
        self.path = f"/v1/organisations/{organisation}/credentials"
        body = {"kind": "oauth_client", "mode": "live", "preset": "read_only", "public_jwk": key.as_dict(private=False)}
        created = administrator("POST", self.path, body)
        assert created.status_code == 201, created.text
        assert "secret" not in created.json
        self.id, self.public_id = created.json["id"], created.json["public_id"]

    def assertion(self, algorithm: str = "EdDSA", key: Key | None = None, **changes: Any) -> str:
        """A signed assertion, changed as asked; None leaves a claim out."""
        now = int(datetime.now(UTC).timestamp())
        claims = {
            "iss": self.public_id,
            "sub": self.public_id,
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid4()),
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": algorithm}, kept, key or self.key, registry=Algorithms(algorithms=[algorithm]))

    def ask(self, assertion: str, **more: str) -> Any:
        """The response of the token endpoint."""
        form = {**GRANT, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **more}
        return self._client.post("/oauth2/token", data=form)


@pytest.fixture
def key_client(client: FlaskClient, administrator: SignedIn, organisation: UUID) -> KeyClient:
    """A client with an Ed25519 key."""
    return KeyClient(client, administrator, organisation, OKPKey.generate_key("Ed25519"))


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/oauth2/token"])
def test_an_assertion_is_good_once(key_client: KeyClient, audience: str) -> None:
    assertion = key_client.assertion(aud=audience)
    assert key_client.ask(assertion).status_code == 200
    again = key_client.ask(assertion)
    assert (again.status_code, again.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/revoke"])
def test_an_assertion_may_name_the_endpoint_that_is_asked_and_no_other_one(
    client: FlaskClient, key_client: KeyClient, path: str
) -> None:
    def ask(audience: str) -> int:
        assertion = key_client.assertion(aud=audience)
        form = {"token": "x", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return client.post(path, data=form).status_code

    assert [ask(ISSUER), ask(f"{ISSUER}/oauth2/token"), ask(f"{ISSUER}{path}")] == [200, 200, 200]
    assert ask(f"{ISSUER}/oauth2/jwks") == 401
    assert key_client.ask(key_client.assertion(aud=f"{ISSUER}{path}")).status_code == 401


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: OKPKey.generate_key("Ed25519"), "Ed25519"),
        (lambda: ECKey.generate_key("P-256"), "ES256"),
        (lambda: RSAKey.generate_key(2048), "PS256"),
        (lambda: RSAKey.generate_key(2048), "RS256"),
    ],
    ids=["Ed25519", "ES256", "PS256", "RS256"],
)
def test_keys_of_other_kinds_sign_too(
    client: FlaskClient, administrator: SignedIn, organisation: UUID, make: Callable[[], Key], algorithm: str
) -> None:
    other = KeyClient(client, administrator, organisation, make())
    assert other.ask(other.assertion(algorithm)).status_code == 200


WRONG: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "https://elsewhere.example"},
    "no audience": {"aud": None},
    "expired": {"exp": 1},
    "good for too long": {"exp": 2**40},
    "good for longer than any number": {"exp": 10**400},
    "no number": {"exp": "x"},
    "without an end": {"exp": None},
    "of another issuer": {"iss": "somebody"},
    "about nobody": {"sub": "client_live_nobody"},
    "about a thing": {"sub": {"x": 1}},
    "about what no client can be": {"sub": "\x00"},
    "without an id": {"jti": None},
    "with no text for an id": {"jti": 7},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_an_assertion_that_is_wrong_in_any_way_is_told_alike(key_client: KeyClient, changes: dict[str, Any]) -> None:
    answer = key_client.ask(key_client.assertion(**changes))
    assert (answer.status_code, answer.json["error_description"]) == (401, "the assertion is not good")


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "e30.e30.e30", "eyJhbGciOiAiXCIifQ.e30.e30", "\x00.é."])
def test_what_is_no_assertion_is_told_alike(key_client: KeyClient, assertion: str) -> None:
    assert key_client.ask(assertion).json["error_description"] == "the assertion is not good"
    assert key_client.ask(assertion, client_assertion_type="x").json["error"] == "invalid_client"


def test_another_key_and_another_algorithm_are_refused(key_client: KeyClient) -> None:
    assert key_client.ask(key_client.assertion(key=OKPKey.generate_key("Ed25519"))).status_code == 401
    public = OctKey.import_key(str(key_client.key.as_dict(private=False)["x"]))
    assert key_client.ask(key_client.assertion("HS256", key=public)).status_code == 401
    assert key_client.ask(key_client.assertion(), client_id="another").json["error"] == "invalid_request"


def test_a_key_is_rotated_as_a_secret_is(
    client: FlaskClient, key_client: KeyClient, administrator: SignedIn, verifier: SignedIn
) -> None:
    of_old = key_client.ask(key_client.assertion()).json["access_token"]
    path, new = f"{key_client.path}/{key_client.id}", ECKey.generate_key("P-256")
    body = {"overlap_seconds": 3600, "public_jwk": new.as_dict(private=False)}
    rotated = administrator("POST", f"{path}/rotate", body)
    assert (rotated.status_code, "secret" in rotated.json) == (200, False)
    assert key_client.ask(key_client.assertion("ES256", key=new)).status_code == 200
    assert key_client.ask(key_client.assertion()).status_code == 200
    assert by_gateway(client, verifier, of_old)["active"]

    administrator("POST", f"{path}/end-overlap")
    assert key_client.ask(key_client.assertion()).status_code == 401
    assert by_gateway(client, verifier, of_old) == {"active": False}
    assert administrator("POST", f"{path}/rotate", {}).json["secret"].startswith("kl_oauth_client_live_")


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "x"},
        {"kty": "OKP", "crv": "Ed25519", "x": 7},
        {"kty": "OKP", "crv": "Ed25519", "x": "é"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        OKPKey.generate_key("Ed25519").as_dict(private=True),
        OctKey.generate_key(256).as_dict(private=True),
        OKPKey.generate_key("X25519").as_dict(private=False),
        ECKey.generate_key("P-521").as_dict(private=False),
    ],
    ids=["empty", "unknown", "a number", "no base64", "a short one", "private", "symmetric", "X25519", "P-521"],
)
def test_what_is_no_key_to_sign_in_with_is_refused(administrator: SignedIn, organisation: UUID, jwk: Any) -> None:
    body = {"kind": "oauth_client", "mode": "live", "preset": "read_only", "public_jwk": jwk}
    answer = administrator("POST", f"/v1/organisations/{organisation}/credentials", body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "public_jwk")


def test_no_other_kind_registers_a_key_and_no_two_clients_the_same(
    administrator: SignedIn, key_client: KeyClient
) -> None:
    jwk = key_client.key.as_dict(private=False)
    body = {"kind": "api_key", "mode": "live", "preset": "read_only", "public_jwk": jwk}
    assert administrator("POST", key_client.path, body).json["code"] == "contradiction"
    again = administrator("POST", key_client.path, {**body, "kind": "oauth_client"})
    assert (again.status_code, again.json["code"]) == (409, "name_already_claimed")
