"""Usage over HTTP: what gateways asked about a credential, from where, and what they were told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from api.app import create_app
from api.wiring import Services
from ledger.commands import EraseCredential, RevokeCredential, RotateSecret
from ledger.values import Kind, Mode, Network, RevocationReason, Role
from projections.usage import UsageRecorder
from tests import given
from tests.api.conftest import SignedIn, SignIn


@pytest.fixture
def services(services: Services) -> Services:
    """Those of a process that verifies."""
    return replace(services, usage=UsageRecorder(services.store, 60))


@pytest.fixture
def gateway(services: Services) -> SignedIn:
    operator_id, token = given.an_operator(services, Role.VERIFIER, name="gateway")
    return SignedIn(create_app(services).test_client(), token, operator_id)


def flush(services: Services) -> None:
    assert services.usage is not None
    services.usage.flush()


def usage_path(organisation: UUID, credential_id: UUID) -> str:
    return f"/v1/organisations/{organisation}/credentials/{credential_id}/usage"


def test_usage_tells_from_where_each_secret_was_used_and_what_was_answered(
    services: Services, gateway: SignedIn, administrator: SignedIn, organisation: UUID
) -> None:
    receipt, first = given.a_credential(services, organisation, networks=(Network("192.0.2.0/24"),))
    issued = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE)
    services.ledger.handle(
        RotateSecret(
            context=given.context(), credential_id=receipt.id, secret=issued.stored, overlap=timedelta(hours=1)
        )
    )
    begun = datetime.now(UTC)
    for secret, address in ((first, "192.0.2.7"), (first, "::ffff:192.0.2.7"), (issued.plaintext, "192.0.2.8")):
        assert gateway("POST", "/v1/verify", {"secret": secret, "client_ip": address}).json["valid"]
    refused = gateway("POST", "/v1/verify", {"secret": first, "client_ip": "198.51.100.1"})
    assert refused.json["code"] == "IP_NOT_ALLOWED"
    mistyped = first[:-1] + ("x" if first[-1] != "x" else "y")
    gateway("POST", "/v1/verify", {"secret": mistyped})  # nobody's, so nobody's to count
    headers = {"X-Gateway-Token": gateway.token, "X-API-Key": first, "X-Real-IP": "192.0.2.7"}
    assert gateway.client.get("/v1/authorize", headers=headers).status_code == 200
    flush(services)

    answer = administrator("GET", usage_path(organisation, receipt.id))

    assert answer.status_code == 200
    assert {(a["version"], a["address"], a["uses"]) for a in answer.json["addresses"]} == {
        (1, "192.0.2.7", 3),
        (2, "192.0.2.8", 1),
    }
    newest = answer.json["addresses"][0]
    assert begun <= datetime.fromisoformat(newest["first_used_at"]) <= datetime.fromisoformat(newest["last_used_at"])
    counted: dict[str, int] = {}
    for day in answer.json["days"]:  # two around midnight
        for code, number in day["codes"].items():
            counted[code] = counted.get(code, 0) + number
    assert counted == {"VALID": 4, "IP_NOT_ALLOWED": 1}
    assert answer.json["days"][0]["day"] in {str(begun.date()), str(datetime.now(UTC).date())}


def test_an_erased_credentials_usage_has_no_addresses(
    services: Services, gateway: SignedIn, administrator: SignedIn, organisation: UUID
) -> None:
    receipt, secret = given.a_credential(services, organisation)
    gateway("POST", "/v1/verify", {"secret": secret, "client_ip": "192.0.2.7"})
    flush(services)
    gateway("POST", "/v1/verify", {"secret": secret, "client_ip": "192.0.2.8"})
    for command in (
        RevokeCredential(
            context=given.context(), credential_id=receipt.id, revocation_reason=RevocationReason.NO_LONGER_USED
        ),
        EraseCredential(context=given.context(), credential_id=receipt.id),
    ):
        services.ledger.handle(command)
    flush(services)

    usage = administrator("GET", usage_path(organisation, receipt.id)).json

    assert usage["addresses"] == []
    assert sum(day["codes"]["VALID"] for day in usage["days"]) == 2


def test_what_was_never_asked_about_has_no_usage_and_anothers_is_not_there(
    services: Services, administrator: SignedIn, organisation: UUID, sign_in: SignIn
) -> None:
    receipt, _ = given.a_credential(services, organisation)
    assert administrator("GET", usage_path(organisation, receipt.id)).json == {"addresses": [], "days": []}
    other = given.an_organisation(services, "Other")
    assert administrator("GET", usage_path(other, receipt.id)).status_code == 404
    assert sign_in(Role.VIEWER)("GET", usage_path(organisation, receipt.id)).status_code == 403
