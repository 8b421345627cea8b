"""OAuth 2: tokens for clients, what they say, and how they end."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet

from api.app import create_app
from api.oauth_server import FORM
from api.signing import CACHED_SECONDS, Algorithms, Signer, issue_signing_key, overlap_of
from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    ConnectApis,
    EndOverlap,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SuspendCredential,
)
from ledger.issuing import adopt_credential
from ledger.permissions import api_names
from ledger.store.keys import Keyring
from ledger.values import Kind, Mode, Network, Role, Scope, SigningAlgorithm
from tests import given
from tests.api.conftest import SignedIn, SignIn

GRANT = {"grant_type": "client_credentials"}


@dataclass
class OAuthClient:
    """A credential of the kind oauth_client, and how it talks to a process of the service."""

    client: FlaskClient
    id: UUID
    public_id: str
    secret: str

    def post(self, path: str, form: Mapping[str, str], **more: Any) -> Any:
        """The response to a form that is sent with Basic."""
        basic = b64encode(f"{self.public_id}:{self.secret}".encode()).decode()
        return self.client.post(path, data=form, headers={"Authorization": f"Basic {basic}"}, **more)

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


def a_client(client: FlaskClient, services: Services, organisation: UUID, **changes: Any) -> OAuthClient:
    """A new credential as an OAuth client, changed as asked."""
    receipt, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT, **changes)
    return OAuthClient(client, receipt.id, receipt.state.public_id, secret)


@pytest.fixture
def oauth_client(client: FlaskClient, services: Services, organisation: UUID) -> OAuthClient:
    """An OAuth client of the organisation."""
    return a_client(client, services, organisation)


def read(client: FlaskClient, token: str) -> Any:
    """The token, checked with the published keys."""
    keys = KeySet.import_key_set(client.get("/.well-known/jwks.json").get_json())
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


# --- signing in ------------------------------------------------------------------------------------------------------


def test_the_secret_may_come_in_the_body(client: FlaskClient, oauth_client: OAuthClient) -> None:
    form = {**GRANT, "client_id": oauth_client.public_id, "client_secret": oauth_client.secret}
    assert client.post("/oauth2/token", data=form).status_code == 200


@pytest.mark.parametrize("secret", ["c2Vj+cmV0/==", "50% off", "a&b=c d"])
@pytest.mark.parametrize("encode", [quote_plus, str], ids=["form-encoded", "as it is"])
def test_a_secret_of_another_system_may_be_form_encoded_or_as_it_is(
    client: FlaskClient, services: Services, organisation: UUID, secret: str, encode: Callable[[str], str]
) -> None:
    command = adopt_credential(
        services.keyring.digests,
        DEFAULT_CATALOGUE,
        given.context(),
        organisation,
        sha256=sha256(secret.encode()).hexdigest(),
        imported_from="the old system",
        kind="oauth_client",
        mode="live",
        contact_email="dev@example.com",
        preset="read_only",
    )
    public_id = services.ledger.handle(command).state.public_id
    basic = b64encode(f"{encode(public_id)}:{encode(secret)}".encode()).decode()

    answer = client.post("/oauth2/token", data=GRANT, headers={"Authorization": f"Basic {basic}"})

    assert answer.status_code == 200, answer.text


def test_a_form_that_does_not_tell_its_length_is_not_taken_in_part(
    services: Services, oauth_client: OAuthClient
) -> None:
    small = create_app(replace(services, settings=replace(services.settings, body_bytes_max=1_024))).test_client()
    basic = b64encode(f"{oauth_client.public_id}:{oauth_client.secret}".encode()).decode()
    answer = small.post(
        "/oauth2/token",
        input_stream=BytesIO(b"grant_type=client_credentials&scope=" + b"a" * 2_000),
        headers={"Authorization": f"Basic {basic}"},
        content_type=FORM,
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 413


def test_two_ways_at_once_are_refused(oauth_client: OAuthClient) -> None:
    answer = oauth_client.post("/oauth2/token", {**GRANT, "client_secret": oauth_client.secret})
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !",
        "Basic " + b64encode(b"\xff\xfe:x").decode(),
        "Basic eA==",
        "Digest x",
        "Bearer x",
        "\x00",
    ],
)
def test_who_cannot_be_read_is_not_the_client(client: FlaskClient, authorization: str) -> None:
    answer: Any = client.post("/oauth2/token", data=GRANT, headers={"Authorization": authorization})
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.headers["Cache-Control"] == "no-store"


def test_no_other_kind_of_credential_gets_a_token(client: FlaskClient, services: Services, organisation: UUID) -> None:
    key = a_client(client, services, organisation)
    receipt, key.secret = given.a_credential(services, organisation, kind=Kind.KEY_PAIR)
    key.public_id = receipt.state.public_id
    assert key.post("/oauth2/token", GRANT).json["error"] == "invalid_client"


def test_the_public_id_must_be_the_secrets_own(oauth_client: OAuthClient) -> None:
    oauth_client.public_id = "client_live_somebody"
    assert oauth_client.post("/oauth2/token", GRANT).status_code == 401


def test_an_allowlist_holds_at_the_token_endpoint(client: FlaskClient, services: Services, organisation: UUID) -> None:
    far = a_client(client, services, organisation, networks=(Network("198.51.100.0/24"),))
    assert far.post("/oauth2/token", GRANT).json["error"] == "unauthorized_client"
    assert far.post("/oauth2/token", GRANT, environ_base={"REMOTE_ADDR": "198.51.100.7"}).status_code == 200


# --- asking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": 'pass"word\x00é'}, "unsupported_grant_type"),
        ({**GRANT, "scope": "no:such"}, "invalid_scope"),
        ({**GRANT, "resource": "https://elsewhere.example"}, "invalid_target"),
        ({**GRANT, "client_id": "another"}, "invalid_request"),
    ],
)
def test_a_wrong_request_is_told_as_the_standard_says(
    oauth_client: OAuthClient, form: dict[str, str], error: str
) -> None:
    answer = oauth_client.post("/oauth2/token", form)
    assert (answer.status_code, answer.mimetype, answer.json["error"]) == (400, "application/json", error)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_parameter_that_is_there_twice_and_another_media_type_are_refused(oauth_client: OAuthClient) -> None:
    twice = oauth_client.post("/oauth2/token", {"grant_type": ["client_credentials", "password"]})  # type: ignore[dict-item]
    assert twice.json["error"] == "invalid_request"
    json = oauth_client.post("/oauth2/token", {}, content_type="application/json")
    assert json.json["error"] == "invalid_request"


def test_scopes_are_narrowed_to_those_that_are_asked_for(client: FlaskClient, oauth_client: OAuthClient) -> None:
    every = read(client, oauth_client.token()).claims["scope"].split()
    assert len(every) > 1
    assert read(client, oauth_client.token(scope=every[0])).claims["scope"] == every[0]
    assert (
        oauth_client.post("/oauth2/token", {**GRANT, "scope": f"{every[0]} no:such"}).json["error"] == "invalid_scope"
    )


def test_a_token_for_an_api_has_its_scopes_alone_and_is_for_nobody_else(
    client: FlaskClient, services: Services, organisation: UUID
) -> None:
    given.a_catalogue(
        services,
        organisation,
        {"order:view": ["live"], "shipment:view": ["live"]},
        {"orders": ["order:view"], "shipments": ["shipment:view"]},
    )
    application = given.an_application(services, organisation, "orders")
    of_orders = a_client(
        client,
        services,
        organisation,
        application_id=application,
        scopes=(Scope("order:view"), Scope("shipment:view")),
    )
    base = f"{services.settings.issuer_url}/organisations/{organisation}"
    token = of_orders.token(resource=f"{base}/apis/orders")
    claims = read(client, token).claims
    assert (claims["aud"], claims["scope"]) == (f"{base}/apis/orders", "order:view")
    assert of_orders.active(token)
    for resource in (f"{base}/apis/shipments", f"{base}/apis/", f"{base}/apis/nothing"):
        assert of_orders.post("/oauth2/token", GRANT | {"resource": resource}).json["error"] == "invalid_target"

    services.ledger.handle(
        ConnectApis(context=given.context(), application_id=application, apis=api_names(("shipments",)))
    )
    assert not of_orders.active(token)


# --- how tokens end --------------------------------------------------------------------------------------------------


def test_a_suspended_or_revoked_credentials_tokens_are_not_good_at_once(
    services: Services, client: FlaskClient, oauth_client: OAuthClient, verifier: SignedIn
) -> None:
    token = oauth_client.token()
    about: dict[str, Any] = {"context": given.context(), "credential_id": oauth_client.id}
    assert by_gateway(client, verifier, token)["active"]
    services.ledger.handle(SuspendCredential(**about))
    assert by_gateway(client, verifier, token) == {"active": False}
    assert oauth_client.post("/oauth2/token", GRANT).json["error"] == "invalid_client"
    services.ledger.handle(ResumeCredential(**about))
    assert by_gateway(client, verifier, token)["active"]
    services.ledger.handle(RevokeCredential(**about))
    assert by_gateway(client, verifier, token) == {"active": False}


def test_a_secret_that_is_replaced_at_once_takes_its_tokens_with_it(
    services: Services, client: FlaskClient, oauth_client: OAuthClient, verifier: SignedIn
) -> None:
    old = oauth_client.token()
    issued = services.keyring.digests.issue(Kind.OAUTH_CLIENT, Mode.LIVE)
    services.ledger.handle(
        RotateSecret(
            context=given.context(), credential_id=oauth_client.id, secret=issued.stored, overlap=timedelta(hours=1)
        )
    )
    assert by_gateway(client, verifier, old)["active"]
    services.ledger.handle(EndOverlap(context=given.context(), credential_id=oauth_client.id))
    assert by_gateway(client, verifier, old) == {"active": False}
    oauth_client.secret = issued.plaintext
    assert by_gateway(client, verifier, oauth_client.token())["active"]


def test_a_client_revokes_its_own_token_and_no_other_ones(
    client: FlaskClient, services: Services, organisation: UUID, oauth_client: OAuthClient
) -> None:
    first, second = oauth_client.token(), oauth_client.token()
    assert oauth_client.post("/oauth2/revoke", {"token": first, "token_type_hint": "whatever"}).status_code == 200
    assert (oauth_client.active(first), oauth_client.active(second)) == (False, True)
    assert oauth_client.post("/oauth2/revoke", {"token": first}).status_code == 200
    assert oauth_client.post("/oauth2/revoke", {"token": "nothing"}).status_code == 200
    assert oauth_client.post("/oauth2/revoke", {}).json["error"] == "invalid_request"
    other = a_client(client, services, organisation)
    assert other.post("/oauth2/revoke", {"token": second}).json["error"] == "invalid_grant"
    assert oauth_client.active(second)
    assert not other.active(second)


def test_a_token_lives_no_longer_than_its_credential(
    client: FlaskClient, services: Services, organisation: UUID
) -> None:
    soon = a_client(client, services, organisation, expires_at=datetime.now(UTC) + timedelta(minutes=5))
    assert soon.post("/oauth2/token", GRANT).json["expires_in"] < 300


def test_an_expired_token_is_not_good(
    services: Services, oauth_client: OAuthClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = oauth_client.token()
    later = datetime.now(UTC) + timedelta(seconds=services.settings.access_token_seconds + 1)
    monkeypatch.setattr("api.fast_path._now", lambda: later)
    assert not oauth_client.active(token)


# --- gateways --------------------------------------------------------------------------------------------------------


def by_gateway(client: FlaskClient, verifier: SignedIn, token: str, **more: str) -> Any:
    """What introspection tells a gateway."""
    headers = {"Authorization": f"Bearer {verifier.token}"}
    return client.post("/oauth2/introspect", data={"token": token, **more}, headers=headers).json


def test_a_gateway_may_sign_in_with_basic(client: FlaskClient, oauth_client: OAuthClient, verifier: SignedIn) -> None:
    basic = b64encode(f"gateway:{verifier.token}".encode()).decode()
    answer: Any = client.post(
        "/oauth2/introspect", data={"token": oauth_client.token()}, headers={"Authorization": f"Basic {basic}"}
    )
    assert answer.json["active"]
    assert answer.json["credential_id"] == str(oauth_client.id)


def test_a_gateway_tells_where_the_token_was_presented(
    client: FlaskClient, services: Services, organisation: UUID, verifier: SignedIn
) -> None:
    bound = a_client(client, services, organisation, networks=(Network("127.0.0.0/8"),), mode=Mode.LIVE)
    token = bound.token()
    good = {"client_ip": "127.0.0.1", "channel": "rest", "mode": "live"}
    assert by_gateway(client, verifier, token, **good)["active"]
    for wrong in ({"client_ip": "192.0.2.1"}, {"client_ip": "x"}, {"mode": "test"}):
        assert by_gateway(client, verifier, token, **(good | wrong)) == {"active": False}
    assert by_gateway(client, verifier, token) == {"active": False}
    assert by_gateway(client, verifier, token, channel="post")["error"] == "invalid_request"
    # What would go unheard is refused: a proxy's variable that was not set must not mean that nothing is required.
    for unheard in ({"mode": ""}, {"channel": ""}, {"client_ip": ""}, {"api": "payments"}, {"scopes": "customer:view"}):
        assert by_gateway(client, verifier, token, **(good | unheard))["error"] == "invalid_request", unheard


def test_another_organisations_gateway_learns_nothing(
    client: FlaskClient, services: Services, oauth_client: OAuthClient, sign_in: SignIn
) -> None:
    other = sign_in(Role.VERIFIER, organisation_id=given.an_organisation(services))
    assert by_gateway(client, other, oauth_client.token()) == {"active": False}


def test_whoever_is_no_gateway_is_refused(
    client: FlaskClient, oauth_client: OAuthClient, administrator: SignedIn
) -> None:
    assert by_gateway(client, administrator, oauth_client.token())["error"] == "unauthorized_client"
    headers = {"Authorization": "Bearer kl_operator_live_" + "0" * 36}
    assert client.post("/oauth2/introspect", data={"token": "x"}, headers=headers).status_code == 401


def forged(header: Any) -> str:
    """A token with this header, and nothing in it."""
    return f"{urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip('=')}.e30.e30"


HEADERS: list[Any] = [
    [],
    {"alg": "none"},
    {"alg": "EdDSA", "kid": []},
    {"alg": ["EdDSA"], "kid": "x"},
    {"alg": "EdDSA", "kid": "x\x00", "typ": "at+jwt"},
    {"alg": "HS256", "kid": "x", "typ": "at+jwt"},
    {"alg": "EdDSA", "crit": ["x"], "x": 1},
    *({"alg": "EdDSA", "kid": "x", "typ": "at+jwt", "crit": crit} for crit in (5, True, None, [5])),
]
FORGED = [forged(header) for header in HEADERS]


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "\x00", "é", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", *FORGED, "x" * 60_000]
)
def test_what_was_not_signed_here_is_not_good(oauth_client: OAuthClient, token: str) -> None:
    assert oauth_client.post("/oauth2/introspect", {"token": token}).json == {"active": False}


# --- keys ------------------------------------------------------------------------------------------------------------


def rotate(services: Services, algorithm: SigningAlgorithm, overlap: timedelta, ago: timedelta = timedelta(0)) -> None:
    """Take a new key, now or some time ago."""
    context = given.context(datetime.now(UTC) - ago)
    services.ledger.handle(issue_signing_key(services.keyring, context, algorithm, overlap=overlap))


def new_process(services: Services, oauth_client: OAuthClient) -> OAuthClient:
    """The same client before a process that has just read the keys."""
    return replace(oauth_client, client=create_app(services).test_client())


def published(client: FlaskClient) -> list[str]:
    """The algorithms of the published keys, newest first."""
    return [key["alg"] for key in client.get("/.well-known/jwks.json").get_json()["keys"]]


def test_both_keys_are_published_during_a_rotation_and_tokens_of_both_are_good(
    client: FlaskClient, services: Services, oauth_client: OAuthClient
) -> None:
    old = oauth_client.token()
    rotate(services, SigningAlgorithm.ES256, timedelta(hours=1), ago=timedelta(seconds=CACHED_SECONDS + 1))
    assert published(client) == ["ES256", "EdDSA"]
    new = new_process(services, oauth_client).token()
    assert read(client, new).header["alg"] == "ES256"
    assert read(client, old).header["alg"] == "EdDSA"
    assert oauth_client.active(old)
    assert oauth_client.active(new)


def test_a_new_key_signs_once_every_copy_of_the_published_keys_has_it(
    client: FlaskClient, services: Services, oauth_client: OAuthClient
) -> None:
    lifetime = services.settings.access_token_seconds

    def signed_by() -> str:
        algorithm: str = read(client, new_process(services, oauth_client).token()).header["alg"]
        return algorithm

    def rotated(algorithm: SigningAlgorithm, seconds_ago: int) -> None:
        rotate(services, algorithm, overlap_of(lifetime), timedelta(seconds=seconds_ago))

    rotated(SigningAlgorithm.EDDSA, 2 * CACHED_SECONDS)
    rotated(SigningAlgorithm.ES256, CACHED_SECONDS - 60)
    assert (published(client), signed_by()) == (["ES256", "EdDSA"], "EdDSA")
    rotated(SigningAlgorithm.EDDSA, 30)  # the second is not known everywhere yet, and nor is the third
    assert signed_by() == "EdDSA"
    assert published(client) == ["EdDSA", "ES256", "EdDSA"]
    rotate(services, SigningAlgorithm.ES256, timedelta(0))
    assert (published(client), signed_by()) == (["ES256"], "ES256")


def test_of_keys_that_nobody_has_yet_the_one_that_is_published_for_longest_signs(
    client: FlaskClient, services: Services, oauth_client: OAuthClient
) -> None:
    rotate(services, SigningAlgorithm.ES256, timedelta(0), ago=timedelta(seconds=60))
    rotate(services, SigningAlgorithm.EDDSA, timedelta(hours=1), ago=timedelta(seconds=30))
    assert read(client, oauth_client.token()).header["alg"] == "ES256"


def test_no_token_outlives_the_key_that_signed_it(
    client: FlaskClient, services: Services, oauth_client: OAuthClient
) -> None:
    lifetime = services.settings.access_token_seconds
    rotate(services, SigningAlgorithm.EDDSA, timedelta(0), ago=timedelta(hours=1))
    rotate(services, SigningAlgorithm.ES256, timedelta(seconds=lifetime - 60))
    assert read(client, oauth_client.token()).header["alg"] == "ES256"


def test_a_rotation_without_overlap_ends_every_token(
    client: FlaskClient, services: Services, oauth_client: OAuthClient
) -> None:
    old = oauth_client.token()
    rotate(services, SigningAlgorithm.EDDSA, timedelta(0))
    assert len(published(client)) == 1
    assert not oauth_client.active(old)
    assert oauth_client.active(oauth_client.token())


def test_another_process_knows_a_new_key_and_the_end_of_an_old_one_at_once(
    services: Services, oauth_client: OAuthClient
) -> None:
    other, third = new_process(services, oauth_client), new_process(services, oauth_client)
    old = oauth_client.token()
    assert other.active(old)
    rotate(services, SigningAlgorithm.EDDSA, timedelta(0))
    assert not other.active(old)
    assert other.active(third.token())


def test_a_key_whose_master_key_is_gone_is_replaced(client: FlaskClient, services: Services) -> None:
    (first,) = client.get("/.well-known/jwks.json").get_json()["keys"]
    ring = Keyring([b"another master key of 32 bytes!!"])
    log = SimpleNamespace(datastore=services.store, keyring=ring)
    (second,) = Signer(log, services.ledger).published()["keys"]  # type: ignore[arg-type]
    assert second["kid"] != first["kid"]


def test_private_keys_are_nowhere_but_in_the_master_key(client: FlaskClient, services: Services) -> None:
    rotate(services, SigningAlgorithm.ES256, timedelta(0))
    (key,) = client.get("/.well-known/jwks.json").get_json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    (row,) = services.store.rows("SELECT * FROM signing_key_status")
    assert "d" not in row["public_jwk"]


def test_the_metadata_names_endpoints_that_are_there(client: FlaskClient, services: Services) -> None:
    found = client.get("/.well-known/oauth-authorization-server").get_json()
    assert found["issuer"] == services.settings.issuer_url
    for name in ("token", "introspection", "revocation"):
        path = found[f"{name}_endpoint"].removeprefix(found["issuer"])
        assert client.post(path).status_code == 400
    assert client.get(found["jwks_uri"].removeprefix(found["issuer"])).status_code == 200
    assert "Bearer" in found["introspection_endpoint_auth_methods_supported"]  # as IANA's register has it
