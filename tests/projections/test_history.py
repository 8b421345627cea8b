"""Replaying one thing, and what it was."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api.wiring import Services
from ledger.commands import EraseCredential, RevokeCredential, SuspendCredential
from projections.history import credential_as_of, history_of
from tests import given

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


@pytest.fixture
def credential(services: Services, organisation: UUID) -> UUID:
    """Created three days ago, suspended two days ago, revoked yesterday."""
    receipt, _ = given.a_credential(services, organisation, context=given.context(NOW - 3 * DAY))
    services.ledger.handle(SuspendCredential(context=given.context(NOW - 2 * DAY), credential_id=receipt.id))
    services.ledger.handle(
        RevokeCredential(context=given.context(NOW - DAY, reason="it leaked"), credential_id=receipt.id)
    )
    return receipt.id


def test_a_history_reads_in_clear_and_shows_nothing_that_verifies_a_secret(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    entries = history_of(services.log, organisation, credential)
    assert entries is not None
    assert [(e.version, e.topic) for e in entries] == [
        (1, "credential.created"),
        (2, "credential.scopes_fixed"),
        (3, "credential.suspended"),
        (4, "credential.revoked"),
    ]
    assert [e.position for e in entries] == [2, 3, 4, 5]
    assert entries[0].data["contact_email"] == "dev@example.com"
    assert entries[0].data["secret"].keys() == {"version", "algorithm", "hint"}
    assert "password_hash" not in entries[0].data
    assert (entries[3].reason, entries[3].actor, entries[3].via) == ("it leaked", "command_line:tester", "command_line")


def test_a_history_ends_at_a_version_or_a_time_inclusive(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    def versions(**up_to: object) -> list[int]:
        entries = history_of(services.log, organisation, credential, **up_to)  # type: ignore[arg-type]
        return [e.version for e in entries or ()]

    assert versions(up_to_version=3) == [1, 2, 3]
    assert versions(up_to_version=99) == [1, 2, 3, 4]
    assert versions(up_to_version=-1) == []
    assert versions(up_to_time=NOW - 2 * DAY) == [1, 2, 3]
    assert versions(up_to_time=NOW - 9 * DAY) == []
    assert versions(up_to_version=2, up_to_time=NOW) == [1, 2]


def test_a_credential_is_what_it_was_at_a_version_or_a_time(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    then = credential_as_of(services.log, organisation, credential, time=NOW - 2.5 * DAY)
    assert then is not None
    assert (then.version, then.suspended_at, then.revoked_at) == (2, None, None)
    suspended = credential_as_of(services.log, organisation, credential, version=3)
    assert suspended is not None
    assert suspended.suspended_at == NOW - 2 * DAY
    now = credential_as_of(services.log, organisation, credential)
    assert now is not None
    assert (now.version, now.revoked_at) == (4, NOW - DAY)
    assert credential_as_of(services.log, organisation, credential, time=NOW - 9 * DAY) is None


def test_another_tenants_history_is_like_none_at_all(services: Services, organisation: UUID, credential: UUID) -> None:
    stranger = given.an_organisation(services, "Stranger")
    for who, what in ((stranger, credential), (organisation, uuid4())):
        assert history_of(services.log, who, what) is None
        assert credential_as_of(services.log, who, what) is None
    assert history_of(services.log, None, credential)
    assert credential_as_of(services.log, None, organisation) is None  # no credential


def test_after_erasure_the_steps_stay_and_say_that_personal_values_are_gone(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential))
    entries = history_of(services.log, organisation, credential)
    assert entries is not None
    assert len(entries) == 5
    assert entries[0].data["contact_email"] == ""
    assert [e.erased for e in entries] == [True, False, False, False, False]
    assert "dev@example.com" not in str(entries)
    before = credential_as_of(services.log, organisation, credential, version=2)
    assert before is not None
    assert before.contact_email == ""
