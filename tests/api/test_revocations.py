"""Whoever holds a secret may have it revoked, without a sign-in and without being told anything."""

import hashlib
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from uuid_utils.compat import uuid7
from werkzeug.test import TestResponse

from api.app import create_app
from api.schemas.revocations import SECRETS_MAX
from api.wiring import Services
from ledger.commands import RevokeCredential, RotateSecret
from ledger.secret_format import OPERATOR_PREFIX
from ledger.secrets import choose_password, format_secret
from ledger.service import CREDENTIAL, OPERATOR
from ledger.values import Channel, Kind, Login, Mode, PublicId, RevocationReason, Role, Via
from projections.operator_status import find_caller
from tests import given
from tests.api.conftest import SignedIn

REVOCATIONS = "/v1/revocations"
UNKNOWN = format_secret(Kind.API_KEY, Mode.LIVE, "neverIssuedToAnybodyAnywhere00")


def present(client: FlaskClient, **body: Any) -> TestResponse:
    """What a stranger is answered."""
    return client.post(REVOCATIONS, json=body)


def revoked_because(services: Services, credential_id: UUID) -> RevocationReason | None:
    """Why the credential is revoked, None where it is not."""
    reason: RevocationReason | None = services.ledger.load(CREDENTIAL, credential_id).revocation_reason
    return reason


def rotated(services: Services, credential_id: UUID, overlap: timedelta) -> str:
    """The credential's next secret."""
    issued = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE)
    command = RotateSecret(context=given.context(), credential_id=credential_id, secret=issued.stored, overlap=overlap)
    services.ledger.handle(command)
    return issued.plaintext


@pytest.mark.parametrize("kind", [Kind.API_KEY, Kind.OAUTH_CLIENT, Kind.KEY_PAIR, Kind.CHANNEL_LOGIN])
def test_a_generated_secret_revokes_its_credential_whatever_its_kind(
    services: Services, client: FlaskClient, verifier: SignedIn, organisation: UUID, kind: Kind
) -> None:
    more = {"login": Login("acme.ftp"), "channel": Channel.FTP} if kind is Kind.CHANNEL_LOGIN else {}
    receipt, secret = given.a_credential(services, organisation, kind=kind, **more)
    asked = {"secret": secret, "public_id": receipt.state.public_id, **({"channel": "ftp"} if more else {})}
    asked = {"secret": secret} if kind is Kind.API_KEY else asked
    assert verifier("POST", "/v1/verify", asked).json["code"] == "VALID"

    answer = present(client, secret=secret)

    assert (answer.status_code, answer.get_json()) == (202, {"accepted": 1})
    assert verifier("POST", "/v1/verify", asked).json["code"] == "REVOKED"


def test_the_history_names_the_holder_its_address_and_its_reason(
    services: Services, client: FlaskClient, organisation: UUID
) -> None:
    receipt, secret = given.a_credential(services, organisation)
    other, other_secret = given.a_credential(services, organisation)

    client.post(
        REVOCATIONS,
        json={"secret": secret, "reason": "seen at https://example.com"},
        headers={"X-Request-Id": "scan-7"},
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    )
    present(client, secret=other_secret)

    event = services.log.history(receipt.id).recorded[-1].event
    assert replace(event.context, at=receipt.state.created_at) == given.context(
        receipt.state.created_at,
        actor="holder",
        via=Via.API,
        request_id="scan-7",
        reason="seen at https://example.com",
        address="192.0.2.7",
    )
    assert revoked_because(services, receipt.id) is RevocationReason.COMPROMISED
    assert services.log.history(other.id).recorded[-1].event.context.reason == "revoked by whoever holds the secret"


def test_the_answer_is_the_same_whatever_was_presented(
    services: Services, client: FlaskClient, administrator: SignedIn, organisation: UUID
) -> None:
    _, live = given.a_credential(services, organisation)
    dead, dead_secret = given.a_credential(services, organisation)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=dead.id))
    _, token = given.an_operator(services, Role.VIEWER)

    answers = [
        present(client, secret=secret)
        for secret in (live, live, dead_secret, UNKNOWN, token, token, administrator.token, "somebody else's secret")
    ]

    assert {(answer.status_code, answer.data) for answer in answers} == {(202, b'{"accepted":1}')}
    assert len({tuple(name for name, _ in answer.headers) for answer in answers}) == 1


def test_a_secret_that_ended_takes_nothing_out_with_it(
    services: Services, client: FlaskClient, organisation: UUID
) -> None:
    receipt, old = given.a_credential(services, organisation)
    rotated(services, receipt.id, overlap=timedelta(0))

    assert present(client, secret=old).status_code == 202

    assert revoked_because(services, receipt.id) is None


def test_during_a_rotation_the_older_secret_ends_and_the_newer_stays(
    services: Services, client: FlaskClient, verifier: SignedIn, organisation: UUID
) -> None:
    receipt, old = given.a_credential(services, organisation)
    new = rotated(services, receipt.id, overlap=timedelta(days=7))

    present(client, secret=old)

    assert verifier("POST", "/v1/verify", {"secret": old}).json["code"] == "EXPIRED"
    assert verifier("POST", "/v1/verify", {"secret": new}).json["code"] == "VALID"
    present(client, secret=new)
    assert verifier("POST", "/v1/verify", {"secret": new}).json["code"] == "REVOKED"


def test_an_imported_secret_is_known_by_what_verification_asks_for(
    services: Services, client: FlaskClient, organisation: UUID
) -> None:
    stored = services.keyring.digests.adopt(hashlib.sha256(b"of-the-old-gateway").hexdigest())
    receipt, _ = given.a_credential(
        services, organisation, kind=Kind.KEY_PAIR, public_id=PublicId("pk_old_1"), secret=stored, imported_from="old"
    )

    present(client, secret="of-the-old-gateway")
    present(client, secret="of-the-old-gateway", public_id="pk_another")
    assert revoked_because(services, receipt.id) is None

    present(client, secret="of-the-old-gateway", public_id="pk_old_1")
    assert revoked_because(services, receipt.id) is RevocationReason.COMPROMISED


def test_a_chosen_password_is_no_matter_for_strangers(
    services: Services, client: FlaskClient, organisation: UUID
) -> None:
    chosen = choose_password("plum-Tractor-osmosis-41")
    login = {"kind": Kind.CHANNEL_LOGIN, "channel": Channel.FTP, "login": Login("acme.ftp")}
    receipt, _ = given.a_credential(
        services, organisation, secret=chosen.stored, password_hash=chosen.password_hash, **login
    )

    assert present(client, secret=chosen.plaintext, public_id="acme.ftp").status_code == 202

    assert revoked_because(services, receipt.id) is None


def test_the_older_of_an_operators_two_tokens_ends_alone(
    services: Services, client: FlaskClient, administrator: SignedIn
) -> None:
    operator_id, old = given.an_operator(services, Role.ADMINISTRATOR)
    path = f"/v1/operators/{operator_id}"
    new = administrator("POST", f"{path}/rotate-token", {"overlap_seconds": 3600}).json["secret"]

    assert client.post("/v1/revocations", json={"secret": old}).status_code == 202

    assert SignedIn(client, old, operator_id)("GET", path).status_code == 401
    assert SignedIn(client, new, operator_id)("GET", path).status_code == 200
    assert services.log.history(operator_id).recorded[-1].event.context.actor == "holder"


def test_an_operators_token_removes_the_operator(services: Services, client: FlaskClient, organisation: UUID) -> None:
    given.an_operator(services)
    operator_id, token = given.an_operator(services, Role.VERIFIER, organisation_id=organisation)

    present(client, secret=token)

    assert find_caller(services.store, services.keyring.digests.candidates(token)) is None
    assert services.log.history(operator_id).recorded[-1].event.context.actor == "holder"


def test_the_last_administrator_stays_and_the_log_says_so(
    services: Services, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    operator_id, token = given.an_operator(services, Role.ADMINISTRATOR)

    with caplog.at_level(logging.ERROR):
        assert present(client, secret=token).status_code == 202

    assert services.ledger.load(OPERATOR, operator_id).removed_at is None
    (line,) = [record for record in caplog.records if record.name == "keyledger.possession"]
    assert (vars(line)["operator_id"], token in line.getMessage()) == (operator_id, False)


def test_a_batch_ends_all_that_is_live_in_it(services: Services, client: FlaskClient, organisation: UUID) -> None:
    found = [given.a_credential(services, organisation) for _ in range(3)]
    secrets = [secret for _, secret in found]

    answer = present(client, secrets=[*secrets, UNKNOWN, secrets[0]], reason="a laptop was stolen")

    assert (answer.status_code, answer.get_json()) == (202, {"accepted": 4})
    assert all(revoked_because(services, receipt.id) for receipt, _ in found)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"secret": UNKNOWN[:-1] + "0"}, "malformed_secret", "secret"),
        ({"secret": OPERATOR_PREFIX}, "malformed_secret", "secret"),
        ({"secrets": [UNKNOWN, UNKNOWN[:-1] + "0"]}, "malformed_secret", "secrets.1"),
        ({"secrets": [UNKNOWN, "a password"]}, "wrong_type", "secrets.1"),
        ({"secrets": []}, "invalid_length", "secrets"),
        ({"secrets": [UNKNOWN] * (SECRETS_MAX + 1)}, "invalid_length", "secrets"),
        ({"secret": ""}, "invalid_length", "secret"),
        ({"secret": None}, "wrong_type", "secret"),
        ({}, "missing_field", "secret"),
        ({"secret": UNKNOWN, "secrets": [UNKNOWN]}, "contradiction", "secrets"),
        ({"secrets": [UNKNOWN], "public_id": "pk_1"}, "contradiction", "public_id"),
        ({"secret": UNKNOWN, "reason": "r" * 1_001}, "invalid_length", "reason"),
        ({"secret": UNKNOWN, "reason": "a\u202eb"}, "forbidden_characters", "reason"),
        ({"secret": UNKNOWN, "token": "x"}, "unknown_field", "token"),
    ],
)
def test_each_mistake_is_named_and_no_secret_is_repeated(
    client: FlaskClient, body: dict[str, Any], code: str, field: str
) -> None:
    answer = present(client, **body)

    assert (answer.status_code, answer.get_json()["code"]) == (422, code)
    assert answer.get_json()["errors"][0]["field"] == field
    assert UNKNOWN[:-1] not in answer.text


def test_an_address_that_asks_too_often_is_told_when_to_come_back(services: Services) -> None:
    strict = replace(services, settings=replace(services.settings, revocations_per_minute=2))
    client = create_app(strict).test_client()

    answers = [present(client, secret=UNKNOWN) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].get_json()["code"] == "too_many_requests"
    assert 0 < int(answers[2].headers["Retry-After"]) <= 30  # as long as it takes until one of two a minute is free
    elsewhere = client.post(REVOCATIONS, json={"secret": UNKNOWN}, environ_overrides={"REMOTE_ADDR": "192.0.2.8"})
    assert elsewhere.status_code == 202
    assert client.get("/v1/secret-pattern").status_code == 200


def test_too_often_is_said_before_the_body_is_read(services: Services) -> None:
    strict = replace(services, settings=replace(services.settings, revocations_per_minute=1))
    client = create_app(strict).test_client()
    present(client, secret=UNKNOWN)

    assert client.post(REVOCATIONS, data="not JSON").status_code == 429


def test_an_unknown_secret_of_anothers_making_revokes_nothing(services: Services, client: FlaskClient) -> None:
    before = services.log.head()

    present(client, secret=str(uuid7()))
    present(client, secret=UNKNOWN)

    assert services.log.head() == before


def test_a_secret_that_a_finder_quotes_is_ended_by_what_is_presented_and_stays_in_no_history(
    services: Services, client: FlaskClient, organisation: UUID
) -> None:
    receipt, secret = given.a_credential(services, organisation)
    _, other = given.a_credential(services, organisation)

    answer = client.post("/v1/revocations", json={"secret": secret, "reason": f"beside {other} in a paste"})

    assert answer.status_code == 202
    revoked = services.log.history(receipt.id).recorded[-1].event
    assert revoked.context.reason == "beside [a secret] in a paste"
