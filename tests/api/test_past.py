"""The past over HTTP: anything at a version or a time, what changed between two moments, and the list of a past day."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.commands import (
    ArchiveApplication,
    ChangeOperatorRoles,
    CloseAccount,
    Command,
    DescribeAccount,
    DescribeApplication,
    DescribeCredential,
    EraseCredential,
    RenameOrganisation,
    RevokeCredential,
    RotateSecret,
    SuspendCredential,
)
from ledger.values import EmailAddress, Kind, Mode, Name, Role
from projections.runner import Projector
from tests import given
from tests.api.conftest import SignedIn
from tests.waiting import until_caught_up

DAY = timedelta(days=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def on_day(day: int) -> Any:
    return given.context(NOON + day * DAY)


# --- anything, at any moment -----------------------------------------------------------------------------------------


@pytest.fixture(params=["organisation", "account", "application", "operator", "webhook"])
def renamed(request: pytest.FixtureRequest, services: Services, organisation: UUID) -> tuple[str, str, str, str]:
    """The path of a thing at its second version; its field that changed, as it was and as it is."""
    base = f"/v1/organisations/{organisation}"
    before, after = Name("Acme"), Name("Acme Ltd")
    account = given.an_account(services, organisation, name=before, context=on_day(1))
    application = given.an_application(services, organisation)
    operator, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation)
    endpoint = given.a_webhook_endpoint(services, organisation)
    command: Command
    match request.param:
        case "organisation":
            command = RenameOrganisation(context=given.context(), organisation_id=organisation, name=after)
            services.ledger.handle(command)
            return base, "name", "Acme", "Acme Ltd"
        case "account":
            services.ledger.handle(DescribeAccount(context=on_day(5), account_id=account, name=after))
            return f"{base}/accounts/{account}", "name", "Acme", "Acme Ltd"
        case "application":
            command = DescribeApplication(context=given.context(), application_id=application, title=after)
            services.ledger.handle(command)
            return f"{base}/applications/{application}", "title", "Ledger sync", "Acme Ltd"
        case "operator":
            command = ChangeOperatorRoles(
                context=given.context(), operator_id=operator, roles=frozenset({Role.AUDITOR}), production=True
            )
            services.ledger.handle(command)
            return f"/v1/operators/{operator}", "roles", ["viewer"], ["auditor"]  # type: ignore[return-value]
    address = "https://hooks.example.com/keyledger"
    return f"{base}/webhooks/{endpoint}", "url", address, address


def test_anything_reads_as_it_was_at_a_version(administrator: SignedIn, renamed: tuple[str, str, Any, Any]) -> None:
    path, field, before, after = renamed
    first = administrator("GET", path, query_string={"version": 1})
    assert (first.status_code, first.json[field], first.json["version"]) == (200, before, 1)
    assert "ETag" not in first.headers
    now = administrator("GET", path)
    assert now.json[field] == after
    as_of_now = administrator("GET", path, query_string={"as_of": datetime.now(UTC).isoformat()}).json
    assert as_of_now == {name: now.json[name] for name in as_of_now}
    assert now.json.keys() - as_of_now.keys() <= {"channels", "connected_apis"}


def test_anything_can_be_compared_with_what_it_was(administrator: SignedIn, renamed: tuple[str, str, Any, Any]) -> None:
    path, field, before, after = renamed
    found = administrator("GET", f"{path}/difference", query_string={"from": "1"})
    assert found.status_code == 200, found.text
    changed = {} if before == after else {field: {"before": before, "after": after}}
    assert found.json["changes"] == changed
    assert [event["version"] for event in found.json["events"]] == list(range(2, 2 + len(changed)))
    assert (found.json["from"]["version"], found.json["to"]["version"]) == (1, 1 + len(changed))


def test_what_an_account_and_an_application_were_before_their_end(
    administrator: SignedIn, services: Services, organisation: UUID
) -> None:
    account = given.an_account(services, organisation, context=on_day(1))
    services.ledger.handle(CloseAccount(context=given.context(NOON + 3 * DAY, reason="sold"), account_id=account))
    path = f"/v1/organisations/{organisation}/accounts/{account}"

    def status(day: int) -> Any:
        return administrator("GET", path, query_string={"as_of": (NOON + day * DAY).isoformat()}).json.get("status")

    assert [status(day) for day in (0, 2, 3)] == [404, "open", "closed"]

    application = given.an_application(services, organisation)
    services.ledger.handle(ArchiveApplication(context=given.context(), application_id=application))
    path = f"/v1/organisations/{organisation}/applications/{application}"
    assert administrator("GET", path, query_string={"version": 1}).json["archived"] is False


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"version": 9}, 404, "not_found"),
        ({"as_of": "2001-01-01T00:00:00Z"}, 404, "not_found"),
        ({"as_of": "2999-01-01T00:00:00Z"}, 422, "future_time"),
        ({"as_of": "2026-01-05T00:00:00Z", "version": 1}, 422, "contradiction"),
    ],
)
def test_a_moment_that_there_was_not_is_refused_for_everything_alike(
    administrator: SignedIn,
    services: Services,
    organisation: UUID,
    query: dict[str, Any],
    status: int,
    code: str,
) -> None:
    account = given.an_account(services, organisation, context=on_day(1))
    credential, _ = given.a_credential(services, organisation, context=on_day(1))
    for path in (f"accounts/{account}", f"credentials/{credential.id}"):
        answer = administrator("GET", f"/v1/organisations/{organisation}/{path}", query_string=query)
        told = answer.json["errors"][0]["code"] if status == 422 else answer.json["code"]
        assert (answer.status_code, told) == (status, code)


def test_an_operators_history_is_told(administrator: SignedIn) -> None:
    events = administrator("GET", f"/v1/operators/{administrator.operator_id}/events").json["data"]
    assert [event["topic"] for event in events] == ["operator.enrolled"]
    assert "digest" not in events[0]["data"]["secret"]


# --- the difference --------------------------------------------------------------------------------------------------


@pytest.fixture
def credential(services: Services, organisation: UUID) -> UUID:
    """Created on the first day with an expiry, given to somebody else on the third, rotated on the fifth."""
    receipt, _ = given.a_credential(services, organisation, context=on_day(1), expires_at=NOON + 20 * DAY)
    for command in (
        DescribeCredential(
            context=on_day(3), credential_id=receipt.id, contact_email=EmailAddress("grace@example.com")
        ),
        RotateSecret(
            context=on_day(5),
            credential_id=receipt.id,
            secret=services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored,
            overlap=timedelta(0),
        ),
    ):
        services.ledger.handle(command)
    return receipt.id


def compared(who: SignedIn, organisation: UUID, credential: UUID, **moments: Any) -> Any:
    asked = {name.rstrip("_"): str(moment) for name, moment in moments.items()}
    path = f"/v1/organisations/{organisation}/credentials/{credential}/difference"
    return who("GET", path, query_string=asked)


def test_a_difference_has_each_changed_field_and_the_events_between(
    administrator: SignedIn, organisation: UUID, credential: UUID
) -> None:
    found = compared(administrator, organisation, credential, from_=2, to="2026-01-05T11:00:00Z").json
    assert found["changes"] == {"contact_email": {"before": "dev@example.com", "after": "grace@example.com"}}
    assert [event["topic"] for event in found["events"]] == ["credential.described"]
    assert found["from"] == {"version": 2, "at": "2026-01-02T12:00:00Z"}
    assert found["to"] == {"version": 3, "at": "2026-01-05T11:00:00Z"}
    later = compared(administrator, organisation, credential, from_=3, to=4).json
    assert later["changes"].keys() == {"secrets", "rotated_at", "rotation_due_at"}
    assert "digest" not in str(later)


def test_time_alone_changes_a_status(administrator: SignedIn, organisation: UUID, credential: UUID) -> None:
    found = compared(administrator, organisation, credential, from_=4).json
    assert found["changes"]["status"] == {"before": "active", "after": "expired"}
    assert found["events"] == []


def test_a_difference_tells_that_personal_values_were_erased_and_not_what_they_were(
    administrator: SignedIn, services: Services, organisation: UUID, credential: UUID
) -> None:
    for command in (RevokeCredential, EraseCredential):
        services.ledger.handle(command(context=on_day(8), credential_id=credential))
    answer = compared(administrator, organisation, credential, from_=2)
    assert answer.json["changes"]["erased_at"]["after"] == "2026-01-09T12:00:00Z"
    assert "example.com" not in answer.text
    assert [event["erased"] for event in answer.json["events"]] == [True, True, False, False]


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"from_": 3, "to": 2}, 422, ("from", "contradiction")),
        ({"from_": "2026-01-20T00:00:00Z", "to": "2026-01-19T00:00:00Z"}, 422, ("from", "contradiction")),
        ({"from_": "yesterday"}, 422, ("from", "invalid_time")),
        ({"from_": "2026-01-20T00:00:00"}, 422, ("from", "invalid_time")),
        ({"from_": 0}, 422, ("from", "out_of_range")),
        ({"from_": 1, "to": "2999-01-01T00:00:00Z"}, 422, ("to", "future_time")),
        ({"to": 2}, 422, ("from", "missing_field")),
        ({"from_": 1, "to": 9}, 404, None),
        ({"from_": "2001-01-01T00:00:00Z"}, 404, None),
    ],
)
def test_moments_that_cannot_be_compared_are_refused(
    administrator: SignedIn, organisation: UUID, credential: UUID, asked: dict[str, Any], status: int, told: Any
) -> None:
    answer = compared(administrator, organisation, credential, **asked)
    assert answer.status_code == status, answer.text
    if told:
        assert (answer.json["errors"][0]["field"], answer.json["errors"][0]["code"]) == told


# --- the list of a past day ------------------------------------------------------------------------------------------


def test_the_list_reads_as_of_a_time_with_the_same_filters(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credential: UUID
) -> None:
    other, _ = given.a_credential(services, organisation, context=on_day(2), kind=Kind.OAUTH_CLIENT)
    services.ledger.handle(SuspendCredential(context=on_day(6), credential_id=other.id))
    until_caught_up(services, "credential_list")

    def listed(day: int, **filters: Any) -> list[str]:
        asked = {"as_of": (NOON + day * DAY).isoformat(), **filters}
        answer = administrator("GET", f"/v1/organisations/{organisation}/credentials", query_string=asked)
        assert answer.status_code == 200, answer.text
        return [document["id"] for document in answer.json["data"]]

    first, second = str(credential), str(other.id)
    assert [listed(day) for day in (0, 1, 2)] == [[], [first], [second, first]]
    assert listed(4, contact_email="grace@example.com") == [first]
    assert listed(2, contact_email="grace@example.com") == []
    assert listed(7, status="suspended") == [second]
    assert listed(5, status="suspended") == []
    assert listed(5, q="grace") == [first]
    assert listed(10, expiring_before="2026-02-01T00:00:00Z") == [first]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"as_of": "2999-01-01T00:00:00Z"}, ("as_of", "future_time")),
        ({"as_of": "2026-01-05T00:00:00Z", "unused_since": "2026-01-01T00:00:00Z"}, ("unused_since", "contradiction")),
    ],
)
def test_a_list_that_cannot_be_told_is_refused_with_the_reason(
    administrator: SignedIn, organisation: UUID, asked: dict[str, Any], told: tuple[str, str]
) -> None:
    answer = administrator("GET", f"/v1/organisations/{organisation}/credentials", query_string=asked)
    assert answer.status_code == 422
    assert (answer.json["errors"][0]["field"], answer.json["errors"][0]["code"]) == told
