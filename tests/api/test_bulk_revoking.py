"""Carrying out a bulk revocation: in steps that count themselves, from wherever the one before ended."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from api import bulk_revoking
from api.bulk_revoking import advance, sweep_bulk_revocations
from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.errors import StoreUnavailable
from ledger.service import BULK_REVOCATION, CREDENTIAL
from ledger.values import RevocationReason, Via
from projections.bulk_revocation_status import find_bulk_revocation, list_bulk_revocations, list_unfinished, still_open
from tests import given
from tests.conftest import OpenServices


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of two, so that five credentials take three of them."""
    monkeypatch.setattr(bulk_revoking, "STEP_CREDENTIALS", 2)


def some_keys(services: Services, organisation: UUID, count: int = 5) -> list[UUID]:
    return sorted(given.a_credential(services, organisation)[0].id for _ in range(count))


def a_run(services: Services, organisation: UUID, keys: Sequence[UUID]) -> UUID:
    told = given.context(actor="operator:7", via=Via.API, request_id="req-9", reason="Ada left")
    return given.a_bulk_revocation(services, organisation, *keys, context=told)


def counts(services: Services, run: UUID) -> tuple[int, int, bool]:
    """How many were revoked and skipped, and whether that is all."""
    state = services.ledger.load(BULK_REVOCATION, run)
    return state.revoked, state.skipped, state.finished_at is not None


def test_each_credential_has_its_own_entry_in_the_name_of_who_confirmed(services: Services, organisation: UUID) -> None:
    keys, other = some_keys(services, organisation), some_keys(services, organisation, 1)
    run = a_run(services, organisation, keys)

    assert [sweep_bulk_revocations(services) for _ in range(4)] == [2, 2, 1, 0]

    assert counts(services, run) == (5, 0, True)
    for key in keys:
        event: Any = services.log.history(key).recorded[-1].event
        assert event.revocation_reason is RevocationReason.OWNER_LEFT
        told = event.context
        assert (told.actor, told.via, told.request_id, told.reason) == ("operator:7", Via.SYSTEM, "req-9", "Ada left")
    assert services.ledger.load(CREDENTIAL, other[0]).revoked_at is None


def test_what_was_revoked_meanwhile_is_skipped(services: Services, organisation: UUID) -> None:
    keys = some_keys(services, organisation)
    run = a_run(services, organisation, keys)
    for key in (keys[0], keys[3]):
        services.ledger.handle(RevokeCredential(context=given.context(), credential_id=key))

    while sweep_bulk_revocations(services):
        pass

    assert counts(services, run) == (3, 2, True)
    assert [len(services.log.history(key).recorded) for key in keys] == [3] * 5


def test_a_run_goes_on_in_another_process_behind_its_last_step(
    services: Services, open_another: OpenServices, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = some_keys(services, organisation)
    run = a_run(services, organisation, keys)
    assert advance(services, run) == 2

    def away(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(services.log, "append_all", away)
        with pytest.raises(StoreUnavailable):
            advance(services, run)
    assert counts(services, run) == (2, 0, False)

    another = open_another()
    assert [sweep_bulk_revocations(another) for _ in range(3)] == [2, 1, 0]
    assert counts(another, run) == (5, 0, True)
    assert list_unfinished(another.store, 10) == []


def test_two_processes_at_one_run_count_nothing_twice(
    services: Services, open_another: OpenServices, organisation: UUID
) -> None:
    keys = some_keys(services, organisation, 9)
    run = a_run(services, organisation, keys)

    def to_the_end(some: Services) -> None:
        while list_unfinished(some.store, 10):
            sweep_bulk_revocations(some)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(to_the_end, (services, open_another())))

    assert counts(services, run) == (9, 0, True)
    assert [len(services.log.history(key).recorded) for key in keys] == [3] * 9


def test_a_step_that_another_process_took_meanwhile_is_not_counted_again(
    services: Services, open_another: OpenServices, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = some_keys(services, organisation, 3)
    run = a_run(services, organisation, keys)
    for key in keys:  # so that nothing but the count is recorded, and no revocation can be what is refused
        services.ledger.handle(RevokeCredential(context=given.context(), credential_id=key))
    another, look = open_another(), still_open

    def overtaken(*asked: Any) -> list[UUID]:
        monkeypatch.setattr(bulk_revoking, "still_open", look)
        assert advance(another, run) == 2
        return look(*asked)

    monkeypatch.setattr(bulk_revoking, "still_open", overtaken)
    assert advance(services, run) == 0
    assert counts(services, run) == (0, 2, False)


def test_a_run_is_seen_in_its_own_organisation_alone(services: Services, organisation: UUID) -> None:
    run = a_run(services, organisation, some_keys(services, organisation, 1))
    newer = a_run(services, organisation, some_keys(services, organisation, 1))
    other = given.an_organisation(services)

    found = find_bulk_revocation(services.store, organisation, run)
    assert found is not None
    assert (found["total"], found["revoked"], found["finished_at"]) == (1, 0, None)
    assert find_bulk_revocation(services.store, other, run) is None
    assert [row["run_id"] for row in list_bulk_revocations(services.store, organisation).rows] == [newer, run]
    assert list_bulk_revocations(services.store, other).rows == []
