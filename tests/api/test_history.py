"""History over HTTP: who did what, when and why; and what a credential was at any version or time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.wiring import Services
from ledger.commands import EraseCredential, RevokeCredential, SetAllowlist
from ledger.values import EmailAddress, RevocationReason, Role, networks
from projections.runner import Projector
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.waiting import until_caught_up

LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def credential(services: Services, organisation: UUID) -> UUID:
    """Created on one day, restricted on the next, revoked on the one after."""
    receipt, _ = given.a_credential(services, organisation, context=given.context(LONG_AGO))
    handle = services.ledger.handle
    handle(
        SetAllowlist(
            context=given.context(LONG_AGO + timedelta(days=1)),
            credential_id=receipt.id,
            networks=networks(["192.0.2.0/24"]),
        )
    )
    handle(
        RevokeCredential(
            context=given.context(LONG_AGO + timedelta(days=2), reason="INC-1"),
            credential_id=receipt.id,
            revocation_reason=RevocationReason.COMPROMISED,
        )
    )
    return receipt.id


def path(organisation: UUID, credential: UUID) -> str:
    return f"/v1/organisations/{organisation}/credentials/{credential}"


def test_a_history_tells_every_step_and_nothing_that_verifies_a_secret(
    administrator: SignedIn, organisation: UUID, credential: UUID
) -> None:
    answer = administrator("GET", path(organisation, credential) + "/events")
    entries = answer.json["data"]

    assert [entry["topic"] for entry in entries] == [
        "credential.created",
        "credential.scopes_fixed",
        "credential.whitelisted",
        "credential.revoked",
    ]
    assert [entry["version"] for entry in entries] == [1, 2, 3, 4]
    assert entries[0]["data"]["contact_email"] == "dev@example.com"
    assert entries[2]["data"]["networks"] == ["192.0.2.0/24"]
    assert entries[3] | {"data": {}, "position": 0} == {
        "version": 4,
        "position": 0,
        "topic": "credential.revoked",
        "at": "2026-01-03T12:00:00Z",
        "actor": "command_line:tester",
        "via": "command_line",
        "reason": "INC-1",
        "request_id": "test",
        "address": "",
        "data": {},
        "erased": False,
    }
    assert "digest" not in answer.text
    assert "password_hash" not in answer.text


def test_an_action_over_http_is_told_with_who_did_it_why_and_under_which_request(
    administrator: SignedIn, services: Services, organisation: UUID
) -> None:
    receipt, _ = given.a_credential(services, organisation)
    base = path(organisation, receipt.id)
    administrator("POST", f"{base}/suspend", {"reason": "audit"}, {"X-Request-Id": "r-1"})

    last = administrator("GET", f"{base}/events").json["data"][-1]

    assert (last["actor"], last["via"]) == (f"operator:{administrator.operator_id}", "api")
    assert (last["reason"], last["request_id"], last["address"]) == ("audit", "r-1", "127.0.0.1")


def test_a_history_comes_in_pages(administrator: SignedIn, organisation: UUID, credential: UUID) -> None:
    query: dict[str, Any] = {"limit": 3}
    first = administrator("GET", path(organisation, credential) + "/events", query_string=query).json
    query["cursor"] = first["pagination"]["cursor"]
    second = administrator("GET", path(organisation, credential) + "/events", query_string=query).json

    assert [e["version"] for e in first["data"]] == [1, 2, 3]
    assert [e["version"] for e in second["data"]] == [4]
    assert second["pagination"] == {"cursor": None, "has_more": False}


def test_a_history_ends_at_the_version_that_was_asked_for(
    administrator: SignedIn, organisation: UUID, credential: UUID
) -> None:
    answer = administrator("GET", path(organisation, credential) + "/events", query_string={"up_to_version": 2})

    assert [e["version"] for e in answer.json["data"]] == [1, 2]


def test_personal_values_are_gone_from_the_history_once_they_are_erased(
    administrator: SignedIn, services: Services, organisation: UUID, credential: UUID
) -> None:
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential))

    answer = administrator("GET", path(organisation, credential) + "/events")

    assert "dev@example.com" not in answer.text
    assert "192.0.2.0" not in answer.text
    assert [entry["erased"] for entry in answer.json["data"]] == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("query", "allowlist", "status"),
    [
        ({"as_of": "2026-01-01T12:00:00Z"}, [], "active"),
        ({"as_of": "2026-01-02T11:59:59Z"}, [], "active"),
        ({"as_of": "2026-01-02T13:00:00+01:00"}, ["192.0.2.0/24"], "active"),
        ({"as_of": "2026-01-03T12:00:00Z"}, ["192.0.2.0/24"], "revoked"),
        ({"version": 2}, [], "active"),
        ({"version": 3}, ["192.0.2.0/24"], "active"),
        ({"version": 4}, ["192.0.2.0/24"], "revoked"),
    ],
)
def test_a_credential_reads_as_it_was(
    administrator: SignedIn,
    organisation: UUID,
    credential: UUID,
    query: dict[str, Any],
    allowlist: list[str],
    status: str,
) -> None:
    answer = administrator("GET", path(organisation, credential), query_string=query)

    assert answer.status_code == 200, answer.text
    assert (answer.json["allowlist"], answer.json["status"]) == (allowlist, status)
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("query", [{"as_of": "2025-12-31T00:00:00Z"}, {"version": 5}, {"version": 2**31 - 1}])
def test_what_it_was_when_it_was_not_there_is_not_found(
    administrator: SignedIn, organisation: UUID, credential: UUID, query: dict[str, Any]
) -> None:
    answer = administrator("GET", path(organisation, credential), query_string=query)

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_the_present_as_of_now_is_the_present(administrator: SignedIn, services: Services, organisation: UUID) -> None:
    receipt, _ = given.a_credential(services, organisation)
    base = path(organisation, receipt.id)

    present = administrator("GET", base).json
    # Of this moment alone: since then, catalogues and applications may have changed, and it may have been replaced.
    del present["effective_scopes"], present["superseded_by"]
    assert administrator("GET", base, query_string={"version": 2}).json == present


def test_the_id_of_another_kind_of_thing_has_no_history_as_a_credential(
    administrator: SignedIn, services: Services, organisation: UUID
) -> None:
    operator, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation)

    for suffix in ("", "/events", "?version=1"):
        assert administrator("GET", path(organisation, operator) + suffix).status_code == 404


# --- everything that happened in an organisation -------------------------------------------------------------


def test_each_filter_of_the_events_finds_what_it_says(
    services: Services,
    projector: Projector,
    administrator: SignedIn,
    sign_in: SignIn,
    organisation: UUID,
    credential: UUID,
) -> None:
    base = f"/v1/organisations/{organisation}"
    receipt, _ = given.a_credential(services, organisation, contact_email=EmailAddress("private@example.com"))
    inside = sign_in(Role.OPERATOR, organisation_id=organisation)
    assert inside("POST", path(organisation, receipt.id) + "/suspend").status_code == 200
    until_caught_up(services, "activity")

    def topics(**query: Any) -> list[str]:
        answer = administrator("GET", f"{base}/events", query_string=query)
        assert answer.status_code == 200, answer.text
        assert "private@example.com" not in answer.text
        return [entry["topic"].partition(".")[2] for entry in answer.json["data"]]

    assert topics()[0] == "suspended"
    assert "registered" in topics()
    assert topics(aggregate_id=credential) == ["revoked", "whitelisted", "scopes_fixed", "created"]
    assert topics(actor=f"operator:{inside.operator_id}") == ["suspended"]
    assert topics(topic="operator.enrolled") == ["enrolled"]
    assert topics(address="127.0.0.1") == ["suspended"]
    assert topics(since="2026-01-02T12:00:00Z", until="2026-01-03T12:00:00Z") == ["whitelisted"]


def test_events_come_in_pages_newest_first(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credential: UUID
) -> None:
    until_caught_up(services, "activity")
    query: dict[str, Any] = {"limit": 2}
    positions: list[int] = []
    while True:
        page = administrator("GET", f"/v1/organisations/{organisation}/events", query_string=query).json
        positions += [entry["position"] for entry in page["data"]]
        if not page["pagination"]["has_more"]:
            break
        query["cursor"] = page["pagination"]["cursor"]

    assert len(positions) == len(set(positions)) == 5


def test_the_events_of_no_organisation_are_not_found(administrator: SignedIn) -> None:
    assert administrator("GET", f"/v1/organisations/{uuid4()}/events").status_code == 404
    assert administrator("GET", f"/v1/organisations/{uuid4()}/credentials").status_code == 404
