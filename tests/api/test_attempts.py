"""Who fails too often is slowed: for an address, for a public identifier, and never for anybody else."""

import base64
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.attempts import FailedAttempts
from api.rate_limits import RateLimiter
from api.wiring import Services
from ledger.values import Channel, Kind, Login
from tests import given
from tests.api.conftest import Answer, SignedIn

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

    assert ask(gateway, secrets["ada"], public_id="ada", channel="ftp").status_code == 429
    assert ask(gateway, secrets["grace"], public_id="grace", channel="ftp").json["code"] == "VALID"


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


def test_a_batch_takes_a_gateways_token(administrator: SignedIn, client: FlaskClient) -> None:
    body = {"questions": [{"secret": UNKNOWN}]}
    assert administrator("POST", "/v1/verify/batch", body).status_code == 403
    assert client.post("/v1/verify/batch", json=body).status_code == 401


def test_basic_counts_for_its_user(gateway: SignedIn) -> None:
    basic = "Basic " + base64.b64encode(b"ada:a password of hers").decode()
    said = {"X-Gateway-Token": gateway.token, "Authorization": basic}
    codes = [gateway.client.get("/v1/authorize?channel=ftp", headers=said).headers["X-Code"] for _ in range(3)]
    assert codes == ["NOT_FOUND", "NOT_FOUND", "TOO_MANY_ATTEMPTS"]
