"""Reports over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.commands import RevokeCredential, SuspendCredential
from ledger.values import EmailAddress
from projections.runner import Projector, wait_for
from tests import given
from tests.api.conftest import SignedIn

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
    assert wait_for(services.store, None, services.log.head(), timeout=10)


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
