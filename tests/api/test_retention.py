"""Retention: personal data goes so many days after a credential's end, by itself, and it is shown before it does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.retaining import sweep_retention
from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.credential import Credential
from ledger.events import CredentialErased, CredentialRevoked
from ledger.service import CREDENTIAL
from ledger.settings import Settings
from ledger.values import RevocationReason
from tests import given
from tests.api.conftest import SignedIn
from tests.projections.keeping_up import catch_up

NOW = datetime.now(UTC)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a policy of thirty days."""
    return replace(settings, retention_days=30)


def a_credential(services: Services, organisation: UUID, revoked: float | None = None, **changes: Any) -> UUID:
    """One that was created a hundred days ago, and revoked so many days ago."""
    credential, _ = given.a_credential(services, organisation, context=given.context(days_ago(100)), **changes)
    if revoked is not None:
        services.ledger.handle(RevokeCredential(context=given.context(days_ago(revoked)), credential_id=credential.id))
    return credential.id


def test_what_ended_long_enough_ago_is_erased_and_nothing_else(services: Services, organisation: UUID) -> None:
    revoked, expired = (
        a_credential(services, organisation, 31),
        a_credential(services, organisation, expires_at=days_ago(40)),
    )
    left = [
        a_credential(services, organisation),
        a_credential(services, organisation, 29),
        a_credential(services, organisation, expires_at=days_ago(-1)),
    ]
    catch_up(services)

    assert sweep_retention(services) == 2

    states: dict[UUID, Credential] = {one: services.ledger.load(CREDENTIAL, one) for one in (revoked, expired, *left)}
    assert {one for one, state in states.items() if state.erased_at is not None} == {revoked, expired}
    events = [recorded.event for recorded in services.log.history(expired).recorded[-2:]]
    assert [type(event) for event in events] == [CredentialRevoked, CredentialErased]
    assert {(event.context.actor, event.context.reason) for event in events} == {
        ("system", "retention: 30 days after it ended")
    }
    assert states[expired].revocation_reason is RevocationReason.POLICY
    head = services.log.head()
    assert sweep_retention(services) == 0  # the list has not heard of it yet
    catch_up(services)
    assert sweep_retention(services) == 0
    assert services.log.head() == head


def test_without_a_policy_nothing_is_erased(services: Services, organisation: UUID) -> None:
    a_credential(services, organisation, 99)
    catch_up(services)
    assert sweep_retention(replace(services, settings=replace(services.settings, retention_days=0))) == 0


def test_it_is_shown_what_will_be_erased_and_when(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    ended = [a_credential(services, organisation, days) for days in (31, 20)]
    ended.append(a_credential(services, organisation, expires_at=days_ago(-5)))
    a_credential(services, organisation)
    a_credential(services, given.an_organisation(services, "Other"), 50)
    catch_up(services)
    path = f"/v1/organisations/{organisation}/retention"

    shown = administrator("GET", path).json

    assert shown["days"] == 30
    assert [(one["credential_id"], one["due"]) for one in shown["data"]] == [
        (str(one), due) for one, due in zip(ended, (True, False, False), strict=True)
    ]
    erase_at = datetime.fromisoformat(shown["data"][1]["erase_at"])
    assert erase_at == days_ago(20) + timedelta(days=30)
    assert [one["due"] for one in administrator("GET", f"{path}?days=15").json["data"]] == [True, True, False]
    pages, cursor = [], ""
    while True:
        page = administrator("GET", f"{path}?limit=1{cursor}").json
        pages += [one["credential_id"] for one in page["data"]]
        if not page["pagination"]["has_more"]:
            break
        cursor = f"&cursor={page['pagination']['cursor']}"
    assert pages == list(map(str, ended))
    assert administrator("GET", f"{path}?days=0").status_code == 422


def test_an_organisation_may_keep_personal_data_shorter_longer_or_for_ever(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    shorter, never, follows = organisation, *(given.an_organisation(services, name) for name in ("Never", "Follows"))
    ended = {one: [a_credential(services, one, days) for days in (40, 10)] for one in (shorter, never, follows)}
    path = "/v1/organisations/{}/retention"
    for one, days in ((shorter, 7), (never, 0)):
        answer = administrator("PUT", path.format(one), {"days": days, "reason": "DPO-7"}, {"If-Match": '"1"'})
        assert (answer.status_code, answer.json["retention_days"], answer.json["version"]) == (200, days, 2)
    catch_up(services)
    shown = {one: administrator("GET", path.format(one)).json for one in ended}
    assert {one: told["days"] for one, told in shown.items()} == {shorter: 7, never: 0, follows: 30}
    due = {one: [each["credential_id"] for each in told["data"] if each["due"]] for one, told in shown.items()}
    assert due == {shorter: [str(each) for each in ended[shorter]], never: [], follows: [str(ended[follows][0])]}

    assert sweep_retention(services) == 3

    erased = {one for each in ended.values() for one in each if services.ledger.load(CREDENTIAL, one).erased_at}
    assert erased == {*ended[shorter], ended[follows][0]}
    reasons = {one: services.log.history(one).recorded[-1].event.context.reason for one in erased}
    assert reasons[ended[shorter][1]] == "retention: 7 days after it ended"

    back = administrator("PUT", path.format(never), {"days": None}, {"If-Match": "*"})
    assert (back.status_code, back.json["retention_days"]) == (200, None)
    catch_up(services)
    assert sweep_retention(services) == 1


@pytest.mark.parametrize(("body", "status"), [({}, 422), ({"days": -1}, 422), ({"days": "9"}, 422), ({"days": 9}, 428)])
def test_a_retention_that_cannot_be_meant_is_refused(
    administrator: SignedIn, organisation: UUID, body: Any, status: int
) -> None:
    headers = {} if status == 428 else {"If-Match": "*"}
    answer = administrator("PUT", f"/v1/organisations/{organisation}/retention", body, headers)
    assert answer.status_code == status
