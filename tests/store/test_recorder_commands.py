"""Commands that race: decided anew where that is right, refused with the true reason where it is not."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.commands import DescribeCredential, RegisterOrganisation, RevokeCredential
from ledger.errors import AlreadyExists, CommandInFlight, LedgerError, StaleVersion
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
