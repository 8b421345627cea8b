"""Commands that race: decided anew where that is right, refused with the true reason where it is not."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.commands import Command, DescribeCredential, RegisterOrganisation, RevokeCredential
from ledger.errors import AlreadyExists, CommandInFlight, CredentialRevoked, LedgerError, NotFound, StaleVersion
from ledger.service import Idempotency, Receipt
from ledger.values import Label, Name, RevocationReason
from tests import given
from tests.conftest import OpenServices


def together(count: int, act: Callable[[int], Receipt]) -> list[Receipt | LedgerError]:
    """What each of so many callers gets who start at the same moment."""
    start = threading.Barrier(count)

    def run(number: int) -> Receipt | LedgerError:
        start.wait()
        try:
            return act(number)
        except LedgerError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def a_key(name: str) -> Idempotency:
    return Idempotency("operator:1", name, b"fingerprint", lambda state: str(state.version).encode())


def a_description(credential: Receipt, number: int, **more: Any) -> DescribeCredential:
    return DescribeCredential(
        context=given.context(), credential_id=credential.id, name=Label(f"name {number}"), **more
    )


def test_a_command_without_an_expected_version_is_decided_anew_until_it_gets_through(
    services: Services, open_another: OpenServices
) -> None:
    processes = [services, open_another()]
    credential, _ = given.a_credential(services, given.an_organisation(services))
    told = together(6, lambda n: processes[n % 2].ledger.handle(a_description(credential, n)))
    versions = sorted(receipt.version for receipt in told if isinstance(receipt, Receipt))
    assert versions == [3, 4, 5, 6, 7, 8]


def test_of_commands_that_expect_one_version_exactly_one_gets_through(services: Services) -> None:
    credential, _ = given.a_credential(services, given.an_organisation(services))
    told = together(8, lambda n: services.ledger.handle(a_description(credential, n, expected_version=2)))
    assert sum(isinstance(one, Receipt) for one in told) == 1
    assert sum(isinstance(one, StaleVersion) for one in told) == 7


@pytest.mark.parametrize("expected_version", [None, 2])
def test_of_repetitions_under_one_key_one_is_recorded_and_the_rest_are_told_so(
    expected_version: int | None, services: Services, open_another: OpenServices
) -> None:
    """Not that the credential is revoked already, or at another version: the first of them is what did it."""
    processes = [services, open_another()]
    credential, _ = given.a_credential(services, given.an_organisation(services))
    command = RevokeCredential(
        context=given.context(),
        credential_id=credential.id,
        revocation_reason=RevocationReason.OWNER_LEFT,
        expected_version=expected_version,
    )
    told = together(8, lambda n: processes[n % 2].ledger.handle(command, a_key("one")))
    told.append(together(1, lambda _: services.ledger.handle(command, a_key("one")))[0])
    assert sum(isinstance(one, Receipt) for one in told) == 1
    assert sum(isinstance(one, CommandInFlight) for one in told) == 8
    assert len(services.log.history(credential.id).recorded) == 3


def test_of_creations_under_one_key_one_is_recorded_although_each_brings_its_own_id(services: Services) -> None:
    organisation = given.an_organisation(services)
    commands = [given.a_create_command(services, organisation)[0] for _ in range(8)]
    told = together(8, lambda n: services.ledger.handle(commands[n], a_key("one")))
    assert sum(isinstance(one, Receipt) for one in told) == 1
    assert sum(isinstance(one, CommandInFlight) for one in told) == 7
    assert services.log.head() == 3


def test_a_new_things_id_may_not_be_taken_by_anything(services: Services) -> None:
    organisation = given.an_organisation(services)
    credential, _ = given.a_credential(services, organisation)
    command, _ = given.a_create_command(services, organisation)
    for taken in (credential.id, organisation):
        with pytest.raises(AlreadyExists):
            services.ledger.handle(replace(command, credential_id=taken))
    with pytest.raises(AlreadyExists):
        services.ledger.handle(
            RegisterOrganisation(context=given.context(), organisation_id=credential.id, name=Name("Other"))
        )
    assert services.log.head() == 3
    services.ledger.handle(replace(command, credential_id=uuid7()))


def an_organisation_with_credentials(services: Services, count: int) -> list[Command]:
    tenant = RegisterOrganisation(context=given.context(), organisation_id=uuid7(), name=Name("Acme"))
    created = [given.a_create_command(services, tenant.organisation_id)[0] for _ in range(count)]
    return [tenant, *created]


def test_commands_in_one_commit_see_what_those_before_them_leave(services: Services) -> None:
    commands = an_organisation_with_credentials(services, 3)

    receipts = services.ledger.handle_all(commands, Idempotency("me", "key", b"f", lambda *states: b"%d" % len(states)))

    assert [receipt.position for receipt in receipts] == [1, 3, 5, 7]
    assert [type(receipt.state).__name__ for receipt in receipts] == ["Organisation", *["Credential"] * 3]
    with pytest.raises(CommandInFlight):
        services.ledger.handle_all(
            an_organisation_with_credentials(services, 1), Idempotency("me", "key", b"f", lambda *_: b"")
        )


def test_where_one_command_of_a_commit_is_refused_none_is_recorded(services: Services) -> None:
    *commands, last = an_organisation_with_credentials(services, 3)
    stranger, _ = given.a_create_command(services, uuid7())
    repeated, _ = given.a_create_command(services, given.an_organisation(services))
    credential, _ = given.a_credential(services, given.an_organisation(services))
    before = services.log.head()

    with pytest.raises(NotFound):
        services.ledger.handle_all([*commands, stranger, last])
    with pytest.raises(StaleVersion):
        services.ledger.handle_all([*commands, a_description(credential, 1, expected_version=1)])
    with pytest.raises(AlreadyExists):
        services.ledger.handle_all([*commands, replace(repeated, credential_id=credential.id)])

    assert services.log.head() == before
    assert len(services.ledger.handle_all([*commands, a_description(credential, 1), last])) == 5


def test_a_commit_of_several_commands_is_decided_anew_when_someone_was_faster(
    services: Services, open_another: OpenServices
) -> None:
    processes = [services, open_another()]
    credential, _ = given.a_credential(services, given.an_organisation(services))

    def describe_and_create(number: int) -> Receipt:
        organisation, created = an_organisation_with_credentials(services, 1)
        return processes[number % 2].ledger.handle_all([organisation, a_description(credential, number), created])[1]

    told = together(6, describe_and_create)

    assert sorted(receipt.version for receipt in told if isinstance(receipt, Receipt)) == [3, 4, 5, 6, 7, 8]


def test_commands_on_one_thing_in_one_commit_are_decided_one_after_the_other(services: Services) -> None:
    tenant, created = an_organisation_with_credentials(services, 1)
    credential, _ = given.a_credential(services, given.an_organisation(services))
    about: dict[str, Any] = {"context": given.context()}

    receipts = services.ledger.handle_all(
        [
            tenant,
            created,
            a_description(credential, 1),
            RevokeCredential(credential_id=created.credential_id, **about),  # type: ignore[attr-defined]  # it is one
            a_description(credential, 2, expected_version=3),
            RevokeCredential(credential_id=credential.id, **about),
        ]
    )

    assert [receipt.version for receipt in receipts] == [1, 2, 3, 3, 4, 5]
    assert [receipt.position for receipt in receipts] == sorted(receipt.position for receipt in receipts)
    for receipt in receipts:
        history = services.log.history(receipt.id)
        assert [one.aggregate_version for one in history.recorded] == list(range(1, len(history.recorded) + 1))
    [status] = services.store.rows(
        "SELECT name, version, revoked_at FROM credential_status WHERE credential_id = %s", (credential.id,)
    )
    assert (status["name"], status["version"], status["revoked_at"] is not None) == ("name 2", 5, True)


def test_of_commands_in_one_commit_the_second_is_refused_for_what_the_first_does(services: Services) -> None:
    credential, _ = given.a_credential(services, given.an_organisation(services))
    revoke = RevokeCredential(context=given.context(), credential_id=credential.id)
    before = services.log.head()

    with pytest.raises(CredentialRevoked):
        services.ledger.handle_all([revoke, revoke])
    with pytest.raises(NotFound):
        services.ledger.handle_all([revoke, replace(revoke, credential_id=uuid7())])

    assert services.log.head() == before
