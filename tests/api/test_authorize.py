"""GET /v1/authorize: what a proxy is answered for whatever a client presents."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from hypothesis import given as for_all
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import ResumeCredential, RevokeCredential, SuspendCredential
from ledger.issuing import issue_credential
from ledger.values import Channel, Kind, Mode, Network, PublicId, Role, Scope
from tests import given
from tests.api.conftest import SignedIn, SignIn

Said = list[tuple[str, str]]


def ask(verifier: SignedIn, *said: tuple[str, str], query: str = "") -> TestResponse:
    """The answer to a proxy that passes on what its client said."""
    headers = Headers([("X-Gateway-Token", verifier.token), *said])
    return verifier.client.get(f"/v1/authorize{query}", headers=headers)


def key(secret: str) -> tuple[str, str]:
    """A secret as X-API-Key."""
    return "X-API-Key", secret


def bearer(secret: str) -> tuple[str, str]:
    """A secret as a Bearer token."""
    return "Authorization", f"Bearer {secret}"


def basic(user: str, secret: str) -> tuple[str, str]:
    """A public identifier and a secret as Basic."""
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


# --- good credentials ------------------------------------------------------------------------------------------------


def test_a_good_key_is_let_through_and_named_in_the_headers(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    receipt, secret = given.a_credential(
        services, organisation, scopes=(Scope("customer:edit"), Scope("customer:view"))
    )

    for said in (key(secret), bearer(secret), ("Authorization", f"bEaReR   {secret} "), basic("", secret)):
        answer = ask(verifier, said)

        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["X-Credential-Id"] == str(receipt.id)
        assert answer.headers["X-Organisation-Id"] == str(organisation)
        assert answer.headers["X-Application-Id"] == ""
        assert answer.headers["X-Public-Id"].startswith("ak_live_")
        assert answer.headers["X-Mode"] == "live"
        assert answer.headers["X-Scopes"] == "customer:edit customer:view"
        assert answer.headers["Cache-Control"] == "no-store"


def test_kinds_with_a_public_identifier_present_it_as_the_user_of_basic(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    for kind, name in ((Kind.OAUTH_CLIENT, PublicId("client:1")), (Kind.KEY_PAIR, PublicId("pk_live_1"))):
        _, secret = given.a_credential(services, organisation, kind=kind, public_id=name)
        assert ask(verifier, bearer(secret)).headers["X-Code"] == "MALFORMED"
        assert ask(verifier, basic("somebody", secret)).headers["X-Code"] == "NOT_FOUND"
        # A user of Basic ends at the first colon (RFC 7617 section 2).
        assert ask(verifier, basic(name, secret)).status_code == (401 if ":" in name else 200)


def test_a_chosen_password_goes_with_its_login_on_the_channel_in_the_query(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    password = "Überfahrt: nach Helgoland bei Sturm"
    command, _ = issue_credential(
        services.keyring.digests,
        DEFAULT_CATALOGUE,
        given.context(),
        organisation,
        kind="channel_login",
        mode="live",
        channel="http",
        login="acme.upload",
        chosen_secret=password,
        contact_email="dev@example.com",
        preset="write",
    )
    services.ledger.handle(command)

    assert ask(verifier, basic("acme.upload", password), query="?channel=http").status_code == 200
    assert ask(verifier, basic("acme.upload", password), query="?channel=ftp").status_code == 401
    assert ask(verifier, basic("acme.upload", password)).status_code == 401
    assert ask(verifier, basic("acme.upload", "nach Helgoland bei Sturm"), query="?channel=http").status_code == 401


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_is_not_good_is_401_with_the_challenge_and_its_code(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    now = datetime.now(UTC)
    revoked, of_revoked = given.a_credential(services, organisation)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=revoked.id))
    suspended, of_suspended = given.a_credential(services, organisation)
    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended.id))
    before = given.context(at=now - timedelta(days=2))
    _, of_expired = given.a_credential(services, organisation, context=before, expires_at=now - timedelta(days=1))
    unknown = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).plaintext

    for secret, code in {
        of_revoked: "REVOKED",
        of_suspended: "SUSPENDED",
        of_expired: "EXPIRED",
        unknown: "NOT_FOUND",
        unknown[:-1]: "MALFORMED",
        "": "MALFORMED",
    }.items():
        answer = ask(verifier, key(secret))
        assert (answer.status_code, answer.headers["X-Code"]) == (401, code)
        assert answer.headers.getlist("WWW-Authenticate") == ['Bearer realm="api", Basic realm="api", charset="UTF-8"']
        assert "X-Credential-Id" not in answer.headers

    services.ledger.handle(ResumeCredential(context=given.context(), credential_id=suspended.id))
    assert ask(verifier, key(of_suspended)).status_code == 200


def test_what_does_not_allow_this_is_403_with_its_code_and_no_challenge(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, secret = given.a_credential(services, organisation, scopes=(Scope("customer:view"),))
    _, of_rest = given.a_credential(services, organisation, channel=Channel.REST)
    _, inside = given.a_credential(services, organisation, networks=(Network("192.0.2.0/24"),))

    for presented, query, code in (
        (secret, "?mode=test", "WRONG_MODE"),
        (of_rest, "?channel=email", "WRONG_CHANNEL"),
        (of_rest, "", "WRONG_CHANNEL"),
        (inside, "", "IP_NOT_ALLOWED"),
        (secret, "?scopes=customer:view,customer:edit", "INSUFFICIENT_SCOPE"),
        (secret, "?scopes=customer:view%20customer:edit", "INSUFFICIENT_SCOPE"),
        (secret, "?api=payments", "API_NOT_CONNECTED"),
    ):
        answer = ask(verifier, key(presented), query=query)
        assert (answer.status_code, answer.headers["X-Code"]) == (403, code), query
        assert "WWW-Authenticate" not in answer.headers
        assert "X-Credential-Id" not in answer.headers
    assert ask(verifier, key(secret), query="?mode=live&scopes=customer:view").status_code == 200
    assert ask(verifier, key(of_rest), query="?channel=rest").status_code == 200


def test_whoever_presents_a_bearer_token_is_told_what_is_wrong_with_it(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    """RFC 6750 section 3.1: clients of OAuth 2 get another token, or one of more scopes, when they hear so."""
    _, secret = given.a_credential(services, organisation, scopes=(Scope("customer:view"),))

    def challenge(*said: tuple[str, str], query: str = "") -> str | None:
        found: str | None = ask(verifier, *said, query=query).headers.get("WWW-Authenticate")
        return found

    assert challenge(bearer("nothing")) == (
        'Bearer realm="api", error="invalid_token", Basic realm="api", charset="UTF-8"'
    )
    assert challenge() == challenge(key("nothing")) == 'Bearer realm="api", Basic realm="api", charset="UTF-8"'
    assert challenge(bearer(secret), query="?scopes=customer:view,customer:edit") == (
        'Bearer realm="api", error="insufficient_scope", scope="customer:view customer:edit"'
    )
    assert challenge(bearer(secret), query="?mode=test") is None
    # What would end the quotes is not repeated, nor is what no header can hold.
    for odd in ("a%22b", "a%5C", "a%01b", "%C3%A9"):
        assert challenge(bearer(secret), query=f"?scopes={odd}x") == 'Bearer realm="api", error="insufficient_scope"'


def test_the_clients_address_is_what_the_gateway_says_in_x_real_ip(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, inside = given.a_credential(services, organisation, networks=(Network("192.0.2.0/24"), Network("127.0.0.0/8")))

    assert ask(verifier, key(inside), ("X-Real-IP", "192.0.2.7")).status_code == 200
    assert ask(verifier, key(inside), ("X-Real-IP", "::ffff:192.0.2.7")).status_code == 200
    assert ask(verifier, key(inside), ("X-Real-IP", "198.51.100.7")).status_code == 403


@pytest.mark.parametrize(
    "address", ["unix:", "192.0.2.7, 192.0.2.7", "192.0.2.7:443", "fe80::1%", "\xff", "0" * 9_000, " "]
)
def test_an_address_that_cannot_be_read_is_none_and_an_allowlist_refuses_it(
    services: Services, verifier: SignedIn, organisation: UUID, address: str
) -> None:
    # The test client's own address is inside, so that falling back to it would be seen.
    _, inside = given.a_credential(services, organisation, networks=(Network("127.0.0.0/8"), Network("192.0.2.0/24")))
    _, anywhere = given.a_credential(services, organisation)

    answer = ask(verifier, key(inside), ("X-Real-IP", address))

    assert (answer.status_code, answer.headers["X-Code"]) == (403, "IP_NOT_ALLOWED")
    assert ask(verifier, key(anywhere), ("X-Real-IP", address)).status_code == 200


def test_none_and_several_credentials_are_challenged(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, secret = given.a_credential(services, organisation)
    _, other = given.a_credential(services, organisation)

    for said in (
        [],
        [key(secret), bearer(secret)],
        [key(secret), key(other)],
        [key(secret), key(secret)],
        [bearer(secret), bearer(other)],
        [bearer(f"{secret},{other}")],
        [key(secret), ("Authorization", "")],
    ):
        answer = ask(verifier, *said)
        assert answer.status_code == 401, said
        assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic !!!!",
        "Basic YQ",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode(b"\x00:\x00").decode(),
        "Basic \xff\xfe",
        "Bearer \xff\xfe\x80",
        "Bearer " + "x" * 60_000,
        "Basic " + base64.b64encode(b"x:" + b"y" * 40_000).decode(),
        'Digest username="Mufasa", response="6629fae49393a05397450978507c4ef1"',
        "Negotiate YII=",
        "kl_api_key_live_",
        "\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("query", ["", "?channel=ftp&mode=live"])
def test_a_header_that_makes_no_sense_is_challenged(verifier: SignedIn, authorization: str, query: str) -> None:
    answer = ask(verifier, ("Authorization", authorization), query=query)

    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


def test_the_opening_of_a_websocket_is_answered_as_any_other_request(
    services: Services, organisation: UUID, verifier: SignedIn
) -> None:
    _, secret = given.a_credential(services, organisation)
    opening = [("Connection", "Upgrade"), ("Upgrade", "websocket")]

    assert ask(verifier, *opening, key(secret)).status_code == 200
    refused = ask(verifier, *opening)
    assert (refused.status_code, "WWW-Authenticate" in refused.headers) == (401, True)


@pytest.fixture
def good(services: Services, organisation: UUID) -> str:
    """The secret of a good key."""
    return given.a_credential(services, organisation)[1]


_LATIN_1 = st.characters(codec="latin-1", exclude_characters="\r\n")
_PIECES = st.sampled_from(
    ["Bearer ", "Basic ", "bearer", "Og==", "YTpi", "kl_api_key_live_", ":", ",", " ", "=", "::1"]
)
_VALUES = st.lists(_PIECES | st.text(_LATIN_1, max_size=20) | st.just("{good}"), max_size=5).map("".join)
_FIELDS = st.sampled_from(["Authorization", "X-API-Key", "X-Real-IP", "X-Forwarded-For"])


@hypothesis_settings(max_examples=200)
@for_all(said=st.lists(st.tuples(_FIELDS, _VALUES), max_size=4))
def test_whatever_a_client_sends_a_proxy_is_answered_what_it_understands(
    verifier: SignedIn, good: str, said: Said
) -> None:
    sent = [(name, value.replace("{good}", good)) for name, value in said]

    answer = ask(verifier, *sent)

    assert answer.status_code in (200, 401, 403)
    assert ("WWW-Authenticate" in answer.headers) is (answer.status_code == 401)
    if answer.status_code == 200:
        assert any(good in value or base64.b64encode(good.encode()).decode() in value for _, value in sent)
    assert good not in answer.text


# --- what is required ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?scope=customer:edit", "scope"),
        ("?scopes=customer:view&scopes=customer:edit", "scopes"),
        ("?mode=live&mode=test", "mode"),
        ("?mode=", "mode"),
        ("?scopes=", "scopes"),
        ("?scopes=,", "scopes"),
        ("?api=", "api"),
        ("?client_ip=192.0.2.7&client_ip=192.0.2.8", "client_ip"),
        ("?mode=production", "mode"),
        ("?channel=", "channel"),
        ("?channel=telex", "channel"),
    ],
)
def test_a_requirement_that_would_go_unheard_is_refused_and_lets_nobody_through(
    verifier: SignedIn, good: str, query: str, field: str
) -> None:
    answer = ask(verifier, key(good), query=query)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_nothing_is_required_where_the_query_names_nothing(verifier: SignedIn, good: str) -> None:
    assert ask(verifier, key(good)).status_code == 200


def test_an_address_in_the_query_is_the_clients_whatever_headers_say(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    """A header can have a twin with underscores, which many proxies hand on; a query that the proxy writes has none."""
    _, restricted = given.a_credential(services, organisation, networks=(Network("192.0.2.0/24"),))
    inside, outside = ("X_Real_IP", "192.0.2.7"), ("X-Real-IP", "203.0.113.9")

    for query, status in (
        ("?client_ip=203.0.113.9", 403),
        ("?client_ip=", 403),
        ("?client_ip=unix:", 403),
        ("?client_ip=192.0.2.7", 200),
    ):
        for said in ((), (inside,), (outside,), (outside, inside)):
            assert ask(verifier, key(restricted), *said, query=query).status_code == status


# --- the gateway -----------------------------------------------------------------------------------------------------


def test_a_gateway_of_one_organisation_does_not_find_another_ones(
    services: Services, sign_in: SignIn, organisation: UUID, good: str
) -> None:
    elsewhere = sign_in(Role.VERIFIER, organisation_id=given.an_organisation(services, "Umbrella"))
    here = sign_in(Role.VERIFIER, organisation_id=organisation)

    assert ask(here, key(good)).status_code == 200
    refused = ask(elsewhere, key(good))
    assert (refused.status_code, refused.headers["X-Code"]) == (401, "NOT_FOUND")


def test_without_a_gateways_good_token_nobody_is_let_through(
    services: Services, client: FlaskClient, verifier: SignedIn, good: str
) -> None:
    unknown = services.keyring.digests.issue("operator", Mode.LIVE).plaintext

    for said in (
        {},
        {"X-Gateway-Token": ""},
        {"X-Gateway-Token": good},
        {"X-Gateway-Token": unknown},
        {"X-Gateway-Token": f"Bearer {verifier.token}"},
        {"X-Gateway-Token": f"{verifier.token},{verifier.token}"},
        {"X-Gateway-Token": "\xff"},
        {"Authorization": f"Bearer {verifier.token}"},
    ):
        answer = client.get("/v1/authorize", headers={"X-API-Key": good, **said})
        assert answer.status_code == 401
        assert "X-Code" not in answer.headers  # which tells a gateway's own failure from its client's
        assert "X-Credential-Id" not in answer.headers


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.VERIFIER])
def test_only_a_verifier_may_ask_for_its_clients(sign_in: SignIn, good: str, role: Role) -> None:
    answer = ask(sign_in(role), key(good))

    assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")
    assert "X-Code" not in answer.headers


def test_no_other_method_is_answered_as_if_a_credential_were_good(client: FlaskClient) -> None:
    # A proxy that hands on its client's method must not let OPTIONS through.
    for method in ("OPTIONS", "POST", "PUT", "DELETE"):
        assert client.open("/v1/authorize", method=method).status_code == 405
