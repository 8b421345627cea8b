"""Who fails too often is slowed: for an address, for a public identifier, and never for anybody else."""

import base64
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.attempts import FailedAttempts
from api.rate_limits import RateLimiter
from api.wiring import Services
from ledger.errors import StoreUnavailable
from ledger.secrets import SECRET_CHARS_MAX
from ledger.store.datastore import LedgerDatastore
from ledger.values import Channel, Kind, Login, Role
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn

UNKNOWN = "kl_api_key_live_0000000000000000000000000000002C8GjS"


@pytest.fixture
def gateway(services: Services, verifier: SignedIn) -> SignedIn:
    """A gateway whose clients may fail three times a minute, and twice for one login."""
    settings = replace(services.settings, failures_per_address=3, failures_per_public_id=2)
    app = create_app(replace(services, attempts=FailedAttempts(settings)))
    client: FlaskClient = app.test_client()
    return SignedIn(client, verifier.token, verifier.operator_id)


def ask(gateway: SignedIn, secret: str, **more: Any) -> Answer:
    return gateway("POST", "/v1/verify", {"secret": secret, **more})


def test_an_address_that_fails_too_often_is_refused_and_another_is_not(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    _, good = given.a_credential(services, organisation)
    for _ in range(3):
        assert ask(gateway, UNKNOWN, client_ip="192.0.2.7").json["code"] == "NOT_FOUND"

    refused = ask(gateway, good, client_ip="192.0.2.7")

    assert (refused.status_code, refused.json["code"]) == (429, "too_many_attempts")
    assert int(refused.headers["Retry-After"]) > 0
    assert ask(gateway, good, client_ip="192.0.2.8").json["code"] == "VALID"
    assert ask(gateway, good).json["code"] == "VALID"


def test_one_subscriber_has_all_addresses_of_an_ipv6_network(gateway: SignedIn) -> None:
    for last in range(3):
        ask(gateway, UNKNOWN, client_ip=f"2001:db8::{last}")
    assert ask(gateway, UNKNOWN, client_ip="2001:db8::99").status_code == 429
    assert ask(gateway, UNKNOWN, client_ip="2001:db8:0:1::1").status_code == 200


def test_a_login_that_is_guessed_at_is_refused_from_wherever_and_another_is_not(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    secrets = {
        login: given.a_credential(
            services, organisation, kind=Kind.CHANNEL_LOGIN, channel=Channel.FTP, login=Login(login)
        )[1]
        for login in ("ada", "grace")
    }
    for number in range(2):
        asked = {"public_id": "Ada", "channel": "ftp", "client_ip": f"192.0.2.{number}"}
        assert ask(gateway, "not her password at all", **asked).json["code"] == "NOT_FOUND"

    assert ask(gateway, "another guess of mine", public_id="ada", channel="ftp").status_code == 429
    assert ask(gateway, secrets["grace"], public_id="grace", channel="ftp").json["code"] == "VALID"


def test_another_tenants_gateway_and_another_channel_lock_nobody_out(
    services: Services, organisation: UUID, gateway: SignedIn, sign_in: SignIn
) -> None:
    login = {"kind": Kind.CHANNEL_LOGIN, "login": Login("ada")}
    _, ftp = given.a_credential(services, organisation, channel=Channel.FTP, **login)
    _, rest = given.a_credential(services, organisation, channel=Channel.HTTP, **login)
    _, good = given.a_credential(services, organisation)
    other = sign_in(Role.VERIFIER, organisation_id=given.an_organisation(services, "Another"))
    theirs = SignedIn(gateway.client, other.token, other.operator_id)
    for _ in range(4):
        ask(theirs, "no password of hers", public_id="ada", channel="ftp", client_ip="192.0.2.7")

    assert ask(gateway, good, client_ip="192.0.2.7").json["code"] == "VALID"
    for _ in range(3):
        ask(gateway, "no password of hers", public_id="ada", channel="ftp")
    assert ask(gateway, "no password of hers", public_id="ada", channel="ftp").status_code == 429
    assert ask(gateway, rest, public_id="ada", channel="http").json["code"] == "VALID"
    # What was generated is not guessed at, so its holder is not kept out.
    assert ask(gateway, ftp, public_id="ada", channel="ftp").json["code"] == "VALID"


def test_an_address_that_nobody_told_of_is_the_gateways_own_and_counts_for_nothing(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    _, good = given.a_credential(services, organisation)

    def authorize(secret: str, where: dict[str, str] | None = None) -> Any:
        said = {"X-Gateway-Token": gateway.token, "X-API-Key": secret}
        return gateway.client.get("/v1/authorize", headers=said, environ_overrides=where)

    for _ in range(9):
        assert authorize(UNKNOWN).headers["X-Code"] == "NOT_FOUND"
    assert authorize(good).status_code == 200
    # As a socket of both families writes it, and as a proxy before us wrote it.
    for where in ({"REMOTE_ADDR": "::ffff:192.0.2.8"}, {"HTTP_X_FORWARDED_FOR": "192.0.2.8"}):
        for _ in range(9):
            assert authorize(UNKNOWN, where).headers["X-Code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "told"),
    [("", {"X-Real-IP": "unix:"}), ("", {"X-Real-IP": "not an address"}), ("?client_ip=", {}), ("?client_ip=x", {})],
)
def test_clients_whose_address_is_told_and_cannot_be_read_count_as_one(
    services: Services, organisation: UUID, gateway: SignedIn, query: str, told: dict[str, str]
) -> None:
    _, good = given.a_credential(services, organisation)

    def authorize(secret: str, query: str, told: dict[str, str]) -> Any:
        said = {"X-Gateway-Token": gateway.token, "X-API-Key": secret, **told}
        return gateway.client.get(f"/v1/authorize{query}", headers=said)

    for _ in range(3):
        assert authorize(UNKNOWN, query, told).headers["X-Code"] == "NOT_FOUND"
    assert authorize(good, query, told).headers["X-Code"] == "TOO_MANY_ATTEMPTS"
    assert authorize(good, "?client_ip=another", {}).headers["X-Code"] == "TOO_MANY_ATTEMPTS"
    assert authorize(good, "", {"X-Real-IP": "192.0.2.8"}).status_code == 200
    assert authorize(good, "", {}).status_code == 200
    assert ask(gateway, good).json["code"] == "VALID"


def test_a_holder_whose_credential_is_refused_for_another_reason_guesses_nothing(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    _, good = given.a_credential(services, organisation)
    for _ in range(5):
        assert ask(gateway, good, client_ip="192.0.2.7", mode="test").json["code"] == "WRONG_MODE"
    assert ask(gateway, good, client_ip="192.0.2.7").json["code"] == "VALID"


def test_a_proxy_is_told_401_which_it_can_hand_on(services: Services, organisation: UUID, gateway: SignedIn) -> None:
    _, good = given.a_credential(services, organisation)

    def authorize(secret: str) -> Any:
        said = {"X-Gateway-Token": gateway.token, "X-API-Key": secret}
        return gateway.client.get("/v1/authorize?client_ip=192.0.2.7", headers=said)

    for _ in range(3):
        assert authorize(UNKNOWN).headers["X-Code"] == "NOT_FOUND"
    refused = authorize(good)
    assert (refused.status_code, refused.headers["X-Code"]) == (401, "TOO_MANY_ATTEMPTS")
    assert refused.headers["WWW-Authenticate"]


def test_whoever_has_no_gateways_token_counts_for_nothing(gateway: SignedIn) -> None:
    stranger = SignedIn(gateway.client, "kl_operator_live_0000000000000000000000000000002C8GjS", gateway.operator_id)
    for _ in range(9):
        assert ask(stranger, UNKNOWN, client_ip="192.0.2.7").status_code == 401
    assert ask(gateway, UNKNOWN, client_ip="192.0.2.7").status_code == 200


def test_waiting_takes_nothing() -> None:
    now = 100.0
    limiter = RateLimiter(2, clock=lambda: now)
    assert [limiter.wait("a") for _ in range(5)] == [0.0] * 5
    assert [limiter.take("a"), limiter.take("a")] == [0.0, 0.0]
    assert limiter.wait("a") == pytest.approx(30.0)
    now += 15
    assert limiter.wait("a") == pytest.approx(15.0)
    now += 15
    assert limiter.wait("a") == pytest.approx(0.0)


# --- a hundred at once -----------------------------------------------------------------------------------------------


def test_a_batch_is_answered_in_the_order_of_its_questions(
    services: Services, organisation: UUID, verifier: SignedIn
) -> None:
    _, good = given.a_credential(services, organisation)
    client, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    questions = [
        {"secret": good},
        {"secret": UNKNOWN},
        {"secret": secret, "public_id": client.state.public_id, "mode": "test"},
        {"secret": secret},
    ]
    answer = verifier("POST", "/v1/verify/batch", {"questions": questions})
    alone = [verifier("POST", "/v1/verify", question).json for question in questions]

    assert [one["code"] for one in answer.json["verdicts"]] == ["VALID", "NOT_FOUND", "WRONG_MODE", "MALFORMED"]
    for one, other in zip(answer.json["verdicts"], alone, strict=True):
        assert {**one, "request_id": ""} == {**other, "request_id": ""}


@pytest.mark.parametrize(
    ("questions", "field"),
    [
        ([], "questions"),
        ([{"secret": "a"}] * 101, "questions"),
        ([{"secret": "a"}, {}], "questions.1.secret"),
        ([{"secret": "a"}, {"secret": "b", "client_ip": "here"}], "questions.1.client_ip"),
        ([{"secret": "a"}, {"secret": "a password", "public_id": "ada", "channel": "ftp"}], "questions.1.secret"),
    ],
)
def test_what_is_wrong_with_a_batch_is_named(verifier: SignedIn, questions: Any, field: str) -> None:
    refused = verifier("POST", "/v1/verify/batch", {"questions": questions})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, field)


def test_of_a_batch_only_the_questions_of_whoever_failed_too_often_go_without_an_answer(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    _, good = given.a_credential(services, organisation)
    guessed = [{"secret": UNKNOWN, "client_ip": "192.0.2.7"}] * 4
    others = [{"secret": good, "client_ip": "192.0.2.7"}, {"secret": good, "client_ip": "192.0.2.8"}]

    answer = gateway("POST", "/v1/verify/batch", {"questions": [*guessed, *others]})

    codes = [one["code"] for one in answer.json["verdicts"]]
    assert codes == ["NOT_FOUND"] * 3 + ["TOO_MANY_ATTEMPTS"] * 2 + ["VALID"]
    assert answer.json["verdicts"][4]["valid"] is False
    assert answer.json["verdicts"][4]["credential_id"] is None


def test_a_batch_takes_a_gateways_token(administrator: SignedIn, client: FlaskClient) -> None:
    body = {"questions": [{"secret": UNKNOWN}]}
    assert administrator("POST", "/v1/verify/batch", body).status_code == 403
    assert client.post("/v1/verify/batch", json=body).status_code == 401


def test_what_nobody_can_have_chosen_is_no_guess_at_a_login_and_takes_no_room_among_them(gateway: SignedIn) -> None:
    def code_of(password: str) -> str:
        basic = "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()
        said = {"X-Gateway-Token": gateway.token, "Authorization": basic}
        code: str = gateway.client.get("/v1/authorize?channel=ftp", headers=said).headers["X-Code"]
        return code

    assert [code_of("x" * (SECRET_CHARS_MAX + 1)) for _ in range(5)] == ["MALFORMED"] * 5
    assert [code_of("a password of hers") for _ in range(3)] == ["NOT_FOUND", "NOT_FOUND", "TOO_MANY_ATTEMPTS"]


def test_basic_counts_for_its_user(gateway: SignedIn) -> None:
    basic = "Basic " + base64.b64encode(b"ada:a password of hers").decode()
    said = {"X-Gateway-Token": gateway.token, "Authorization": basic}
    codes = [gateway.client.get("/v1/authorize?channel=ftp", headers=said).headers["X-Code"] for _ in range(3)]
    assert codes == ["NOT_FOUND", "NOT_FOUND", "TOO_MANY_ATTEMPTS"]


def test_failures_of_a_batch_that_was_not_answered_count_once_it_is(
    services: Services, organisation: UUID, gateway: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, good = given.a_credential(services, organisation)
    guessed = {"secret": UNKNOWN, "client_ip": "192.0.2.7"}
    body = {"questions": [guessed, guessed, {"secret": good, "client_ip": "192.0.2.7"}]}
    look_up, looked_up = LedgerDatastore.look_up, 0

    def lost_at_the_third(*asked: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 3:
            raise StoreUnavailable("the connection was lost")
        return look_up(*asked)

    monkeypatch.setattr(LedgerDatastore, "look_up", lost_at_the_third)
    assert gateway("POST", "/v1/verify/batch", body).status_code == 503
    answered = gateway("POST", "/v1/verify/batch", body)

    assert [one["code"] for one in answered.json["verdicts"]] == ["NOT_FOUND", "NOT_FOUND", "VALID"]
    assert ask(gateway, **guessed).json["code"] == "NOT_FOUND"  # the third
    assert ask(gateway, **guessed).status_code == 429


# --- clients of OAuth 2 ----------------------------------------------------------------------------------------------


def ask_for_a_token(gateway: SignedIn, **form: str) -> Any:
    return gateway.client.post("/oauth2/token", data={"grant_type": "client_credentials", **form})


def test_nobody_keeps_a_client_out_by_guessing_at_it_from_elsewhere(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    guessed, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    form = {"grant_type": "client_credentials", "client_id": guessed.state.public_id}

    def from_address(address: str, presented: str) -> Any:
        return gateway.client.post(
            "/oauth2/token", data={**form, "client_secret": presented}, environ_base={"REMOTE_ADDR": address}
        )

    for _ in range(3):
        wrong = from_address("203.0.113.9", UNKNOWN)
        assert (wrong.status_code, wrong.json["error"]) == (401, "invalid_client")

    refused = from_address("203.0.113.9", secret)
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_attempts")
    assert from_address("198.51.100.1", secret).status_code == 200


def test_assertions_that_are_not_good_count_for_their_address_and_not_for_the_client_they_name(
    services: Services, organisation: UUID, gateway: SignedIn
) -> None:
    client, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    public_id = client.state.public_id
    asserting = {
        "client_id": public_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "eyJhbGciOiJFZERTQSJ9.e30.e30",
    }
    for _ in range(3):
        assert ask_for_a_token(gateway, **asserting).status_code == 401

    assert ask_for_a_token(gateway, **asserting).status_code == 429
    elsewhere = gateway.client.post(
        "/oauth2/token",
        data={"grant_type": "client_credentials", "client_id": public_id, "client_secret": secret},
        environ_overrides={"REMOTE_ADDR": "192.0.2.99"},
    )
    assert elsewhere.status_code == 200


def test_clients_of_unreadable_addresses_behind_a_trusted_proxy_count_as_one(
    services: Services, organisation: UUID
) -> None:
    client, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    settings = replace(services.settings, failures_per_address=3, trusted_proxies=(ip_network("10.0.0.1"),))
    app = create_app(replace(services, settings=settings, attempts=FailedAttempts(settings)))

    def behind_the_proxy(forwarded_for: str, presented: str) -> int:
        return (
            app.test_client()
            .post(
                "/oauth2/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": client.state.public_id,
                    "client_secret": presented,
                },
                headers={"X-Forwarded-For": forwarded_for},
                environ_overrides={"REMOTE_ADDR": "10.0.0.1"},
            )
            .status_code
        )

    assert [behind_the_proxy(f"nonsense {number}", UNKNOWN) for number in range(5)] == [401] * 3 + [429] * 2
    assert behind_the_proxy("nonsense", secret) == 429
    assert behind_the_proxy("192.0.2.7", secret) == 200
