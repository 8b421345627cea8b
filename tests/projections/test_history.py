"""Replaying one thing, and what it was."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.wiring import Services
from ledger.commands import EraseCredential, ResumeCredential, RevokeCredential, SuspendCredential
from ledger.events import Event
from ledger.store import log
from ledger.store.codec import decode
from projections.history import PRESENT, Entry, Life, Moment, life_of, list_history
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


def entries_of(
    services: Services, organisation: UUID | None, thing: UUID, moment: Moment = PRESENT
) -> list[Entry] | None:
    life = life_of(services.log, organisation, thing)
    return None if life is None else life.entries(moment)


def credential_life(services: Services, organisation: UUID | None, thing: UUID) -> Life:
    life = life_of(services.log, organisation, thing, "credential")
    assert life is not None
    return life


def test_a_history_reads_in_clear_and_shows_nothing_that_verifies_a_secret(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    entries = entries_of(services, organisation, credential)
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
    def versions(**up_to: Any) -> list[int]:
        return [e.version for e in entries_of(services, organisation, credential, Moment(**up_to)) or ()]

    assert versions(version=3) == [1, 2, 3]
    assert versions(version=99) == [1, 2, 3, 4]
    assert versions(version=-1) == []
    assert versions(time=NOW - 2 * DAY) == [1, 2, 3]
    assert versions(time=NOW - 9 * DAY) == []
    assert versions(version=2, time=NOW) == [1, 2]


def test_a_credential_is_what_it_was_at_a_version_or_a_time(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    life = credential_life(services, organisation, credential)
    then = life.state(Moment(time=NOW - 2.5 * DAY))
    assert (then.version, then.suspended_at, then.revoked_at) == (2, None, None)
    assert life.state(Moment(version=3)).suspended_at == NOW - 2 * DAY
    now = life.state()
    assert (now.version, now.revoked_at) == (4, NOW - DAY)
    assert life.state(Moment(time=NOW - 9 * DAY)) is None
    assert life.state(Moment(version=5)) is None


def test_what_a_slow_clock_recorded_later_had_not_happened_before_the_events_that_came_first(
    services: Services, organisation: UUID
) -> None:
    receipt, _ = given.a_credential(services, organisation, context=given.context(NOW - 5 * DAY))
    for command, at in ((SuspendCredential, NOW - DAY), (ResumeCredential, NOW - 3 * DAY)):
        services.ledger.handle(command(context=given.context(at), credential_id=receipt.id))
    life = credential_life(services, organisation, receipt.id)
    assert life.state(Moment(time=NOW - 2 * DAY)).version == 2
    assert life.state(Moment(time=NOW - DAY)).version == 4


def test_another_tenants_history_is_like_none_at_all(services: Services, organisation: UUID, credential: UUID) -> None:
    stranger = given.an_organisation(services, "Stranger")
    for who, what in ((stranger, credential), (organisation, uuid4())):
        assert life_of(services.log, who, what) is None
    assert life_of(services.log, None, credential)
    assert life_of(services.log, None, organisation, "credential") is None


def test_after_erasure_the_steps_stay_and_say_that_personal_values_are_gone(
    services: Services, organisation: UUID, credential: UUID
) -> None:
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential))
    entries = entries_of(services, organisation, credential)
    assert entries is not None
    assert len(entries) == 5
    assert entries[0].data["contact_email"] == ""
    assert [e.erased for e in entries] == [True, False, False, False, False]
    assert "dev@example.com" not in str(entries)
    life = credential_life(services, organisation, credential)
    assert life.state(Moment(version=2)).contact_email == ""
    before = life.reads(Moment(time=NOW - 2.5 * DAY))
    assert (before.version, before.contact_email) == (2, "")
    assert before.erased_at == life.state().erased_at is not None
    assert life.state(Moment(version=2)).erased_at is None


def test_a_page_of_a_long_history_reads_that_page_alone(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = given.a_credential(services, organisation)[0].id
    for _ in range(20):
        services.ledger.handle(SuspendCredential(context=given.context(), credential_id=credential))
        services.ledger.handle(ResumeCredential(context=given.context(), credential_id=credential))
    decoded = list[str]()

    def counted(topic: str, state: bytes) -> Event:
        decoded.append(topic)
        return decode(topic, state)

    monkeypatch.setattr(log, "decode", counted)
    versions, cursor = list[int](), None
    while True:
        page = list_history(services.log, organisation, credential, "credential", cursor=cursor, limit=5)
        assert page is not None
        assert len(decoded) <= 1 + 5 + 1  # what it began with, the page, and whether there is more
        decoded.clear()
        versions += [entry.version for entry in page.entries]
        if (cursor := page.cursor) is None:
            break
    assert versions == list(range(1, 43))
    assert list_history(services.log, organisation, credential, "account") is None
    assert list_history(services.log, given.an_organisation(services, "Other"), credential, "credential") is None
