"""Reports over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.commands import DescribeCredential, RevokeCredential, SuspendCredential
from ledger.values import EmailAddress
from projections import credentials_as_of
from projections.runner import Projector
from tests import given
from tests.api.conftest import SignedIn
from tests.waiting import until_caught_up

NOW = datetime.now(UTC)


@pytest.fixture
def owners(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/reports/owners"


def make(services: Services, organisation: UUID, email: str | None, days: int = 0) -> UUID:
    """A credential of some days ago, and who answers for it."""
    contact_email = None if email is None else EmailAddress(email)
    context = given.context(NOW - timedelta(days=days))
    return given.a_credential(services, organisation, contact_email=contact_email, context=context)[0].id


def caught_up(services: Services) -> None:
    until_caught_up(services)


def test_who_answers_for_what_is_told_by_email(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, owners: str
) -> None:
    make(services, organisation, "Grace@example.com", 100)
    make(services, organisation, "grace@example.com", 10)
    make(services, organisation, None, 100)
    make(services, given.an_organisation(services, "Other"), "grace@example.com", 100)
    suspended = make(services, organisation, "ada@example.com", 200)
    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended))
    ended = make(services, organisation, "edsger@example.com")
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=ended))
    caught_up(services)

    told = administrator("GET", owners).json

    assert told["pagination"] == {"cursor": None, "has_more": False}
    assert [(one["contact_email"], one["credentials"], one["overdue"]) for one in told["data"]] == [
        ("ada@example.com", 1, 0),
        ("grace@example.com", 2, 1),
    ]
    assert {one["organisation_id"] for one in told["data"]} == {str(organisation)}
    assert told["data"][0]["next_rotation_due_at"] is None
    due = datetime.fromisoformat(told["data"][1]["next_rotation_due_at"])
    assert abs(due - (NOW - timedelta(days=10))) < timedelta(minutes=1)


def test_pages_of_owners_give_everyone_once_however_long_their_addresses(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, owners: str
) -> None:
    longest = f"{'Ⱥ' * 30}@{'.'.join(['Ⱥ' * 28] * 3)}.example"
    addresses = [f"dev-{number}@example.com" for number in range(4)] + [longest]
    for address in addresses:
        make(services, organisation, address)
    caught_up(services)

    found: list[str] = []
    query: dict[str, Any] = {"limit": 1}
    while True:
        page = administrator("GET", owners, query_string=query).json
        found += [one["contact_email"] for one in page["data"]]
        query["cursor"] = page["pagination"]["cursor"]
        if query["cursor"] is None:
            break

    assert found == [address.lower() for address in addresses]


def test_the_cursor_of_another_list_is_refused(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, owners: str
) -> None:
    for address in ("ada@example.com", "grace@example.com"):
        make(services, organisation, address)
    caught_up(services)
    cursor = administrator("GET", owners, query_string={"limit": 1}).json["pagination"]["cursor"]
    other = given.an_organisation(services, "Other")

    for path in (f"/v1/organisations/{organisation}/credentials", f"/v1/organisations/{other}/reports/owners"):
        answer = administrator("GET", path, query_string={"cursor": cursor})
        assert (answer.status_code, answer.json["code"]) == (422, "invalid_cursor"), path


def test_who_answered_for_what_at_a_past_time_is_told_as_it_was_then(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, owners: str
) -> None:
    make(services, organisation, "Grace@example.com", 130)
    handed_over = make(services, organisation, "grace@example.com", 50)
    ended = make(services, organisation, "edsger@example.com", 40)
    make(services, organisation, "late@example.com", 5)
    for command in (
        DescribeCredential(
            context=given.context(NOW - timedelta(days=10)),
            credential_id=handed_over,
            contact_email=EmailAddress("ada@example.com"),
        ),
        RevokeCredential(context=given.context(NOW - timedelta(days=10)), credential_id=ended),
    ):
        services.ledger.handle(command)
    caught_up(services)

    def told(days: int, **page: Any) -> Any:
        as_of = (NOW - timedelta(days=days)).isoformat()
        return administrator("GET", owners, query_string={"as_of": as_of, **page}).json

    def counted(days: int) -> list[tuple[str, int, int]]:
        return [(one["contact_email"], one["credentials"], one["overdue"]) for one in told(days)["data"]]

    assert counted(60) == [("grace@example.com", 1, 0)]
    assert counted(20) == [("edsger@example.com", 1, 0), ("grace@example.com", 2, 1)]
    assert counted(7) == [("ada@example.com", 1, 0), ("grace@example.com", 1, 1)]
    assert told(0)["data"] == administrator("GET", owners).json["data"]
    first = told(20, limit=1)
    rest = told(20, limit=1, cursor=first["pagination"]["cursor"])
    assert first["data"] + rest["data"] == told(20)["data"]
    assert administrator("GET", owners, query_string={"as_of": "2999-01-01T00:00:00Z"}).status_code == 422


def test_of_more_credentials_than_a_request_can_look_at_owners_of_the_past_are_refused(
    services: Services,
    projector: Projector,
    administrator: SignedIn,
    organisation: UUID,
    owners: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        make(services, organisation, "ada@example.com", 2)
    caught_up(services)
    as_of = (NOW - timedelta(days=1)).isoformat()
    for bound, status in ((3, 200), (2, 422)):
        monkeypatch.setattr(credentials_as_of, "LOOKED_AT_MAX", bound)
        assert administrator("GET", owners, query_string={"as_of": as_of}).status_code == status
