"""Closing an account: refused at once, and told soon after by the history of everything that hangs on it."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from api import sweeping
from api.sweeping import Sweeper, sweep_closed_accounts
from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.service import ACCOUNT, CREDENTIAL
from ledger.values import AccountKind, RevocationReason, Via
from tests import given
from tests.conftest import OpenServices
from tests.waiting import SECONDS_MAX, until


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


def a_key(services: Services, organisation: UUID, account: UUID | None) -> UUID:
    return given.a_credential(services, organisation, account_id=account)[0].id


def revoked(services: Services, *keys: UUID) -> list[bool]:
    return [services.ledger.load(CREDENTIAL, key).revoked_at is not None for key in keys]


def sweep_to_the_end(services: Services) -> list[int]:
    """How many each sweep dealt with, until nothing is left."""
    counts = []
    while count := sweep_closed_accounts(services):
        counts.append(count)
    return counts


def test_everything_on_a_closed_account_is_ended_and_nothing_else(services: Services, organisation: UUID) -> None:
    master, other = given.an_account(services, organisation), given.an_account(services, organisation)
    sub = given.an_account(services, organisation, kind=AccountKind.SUB, parent_id=master)
    ended = [a_key(services, organisation, account) for account in (master, master, sub)]
    untouched = [a_key(services, organisation, account) for account in (other, None)]
    assert sweep_closed_accounts(services) == 0
    given.a_closed_account(services, master)

    sweep_to_the_end(services)

    assert revoked(services, *ended) == [True] * 3
    assert revoked(services, *untouched) == [False] * 2
    assert services.ledger.load(ACCOUNT, sub).closed_at is not None
    assert services.ledger.load(ACCOUNT, other).closed_at is None
    head = services.log.head()
    assert sweep_closed_accounts(services) == 0
    assert services.log.head() == head


def test_each_history_tells_who_closed_the_account_and_why(services: Services, organisation: UUID) -> None:
    master = given.an_account(services, organisation)
    sub = given.an_account(services, organisation, kind=AccountKind.SUB, parent_id=master)
    keys = [a_key(services, organisation, account) for account in (master, sub)]
    given.a_closed_account(services, master, "contract ended")
    sweep_to_the_end(services)

    for ended in (sub, *keys):
        context = services.log.history(ended).recorded[-1].event.context
        assert (context.actor, context.via, context.reason, context.request_id) == (
            "command_line:tester",
            Via.SYSTEM,
            "account closed: contract ended",
            "test",
        )
    assert services.ledger.load(CREDENTIAL, keys[0]).revocation_reason is RevocationReason.NO_LONGER_USED


def test_a_revocation_that_was_set_for_later_is_brought_forward(services: Services, organisation: UUID) -> None:
    account = given.an_account(services, organisation)
    coming, over = a_key(services, organisation, account), a_key(services, organisation, account)
    later = datetime.now(UTC) + timedelta(days=1)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=coming, effective_at=later))
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=over))
    given.a_closed_account(services, account)

    assert sweep_to_the_end(services) == [1]
    assert services.ledger.load(CREDENTIAL, coming).revoked_at < later
    assert len(services.log.history(over).recorded) == 3


def test_a_sweep_goes_on_where_another_process_ended(
    services: Services, open_another: OpenServices, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 2)
    account = given.an_account(services, organisation)
    keys = [a_key(services, organisation, account) for _ in range(5)]
    given.a_closed_account(services, account)

    assert sweep_closed_accounts(services) == 2
    assert sum(revoked(services, *keys)) == 2
    another = open_another()
    assert sweep_to_the_end(another) == [2, 1]
    assert revoked(services, *keys) == [True] * 5


def test_the_sweeper_begins_with_what_was_left_and_notices_what_is_closed_meanwhile(
    services: Services, open_another: OpenServices, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.05)
    accounts = [given.an_account(services, organisation) for _ in range(2)]
    keys = [a_key(services, organisation, account) for account in accounts]
    given.a_closed_account(services, accounts[0])
    sweepers = [Sweeper(services), Sweeper(open_another())]
    for sweeper in sweepers:
        sweeper.start()
    try:
        wait_until_revoked(services, keys[0])
        given.a_closed_account(services, accounts[1])
        wait_until_revoked(services, keys[1])
    finally:
        for sweeper in sweepers:
            sweeper.stop()
    assert [len(services.log.history(key).recorded) for key in keys] == [3, 3]


def wait_until_revoked(services: Services, key: UUID) -> None:
    until(lambda: all(revoked(services, key)))


def test_a_sweep_that_fails_is_tried_again(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.01)
    tried = []

    def fails_once(_: Services) -> int:
        tried.append(1)
        if len(tried) == 1:
            raise RuntimeError("at first")
        return 0

    sweeper = Sweeper(services, (fails_once,))
    sweeper.start()
    try:
        until(lambda: len(tried) >= 3)
    finally:
        sweeper.stop()


def test_a_sweep_that_fails_keeps_no_other_from_its_own(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.01)
    done = threading.Event()

    def fails(_: Services) -> int:
        raise RuntimeError("for good")

    def does_its_own(_: Services) -> int:
        done.set()
        return 0

    sweeper = Sweeper(services, (fails, does_its_own))
    sweeper.start()
    try:
        assert done.wait(SECONDS_MAX)
    finally:
        sweeper.stop()
