"""The rules of an application: registered, described, connected, archived."""

from typing import Any

import pytest

from ledger import errors
from ledger.application import evolve
from ledger.commands import ArchiveApplication, ConnectApis, DescribeApplication, RegisterApplication
from ledger.events import ApplicationApisConnected, ApplicationArchived, ApplicationDescribed, ApplicationRegistered
from ledger.permissions import api_names
from ledger.values import Description, Name
from tests.unit.deciding import AGGREGATE, NOW, ORGANISATION, START, at, given, recorded

REGISTERED = ApplicationRegistered(at(START), ORGANISATION, None, "Ledger sync", "Books our payouts.")
ARCHIVED = ApplicationArchived(at(START))


def register(*apis: str) -> RegisterApplication:
    """Register it, connected to these."""
    return RegisterApplication(
        context=at(NOW),
        application_id=AGGREGATE,
        organisation_id=ORGANISATION,
        title=Name("Ledger sync"),
        apis=api_names(apis),
    )


def describe(**changes: Any) -> DescribeApplication:
    """Call it something else."""
    return DescribeApplication(context=at(NOW), application_id=AGGREGATE, **changes)


def connect(*apis: str) -> ConnectApis:
    """Connect it to these, and to no others."""
    return ConnectApis(context=at(NOW), application_id=AGGREGATE, apis=api_names(apis))


def archive() -> ArchiveApplication:
    """Give it up."""
    return ArchiveApplication(context=at(NOW), application_id=AGGREGATE)


def test_an_application_is_registered_once_with_or_without_apis() -> None:
    registered = ApplicationRegistered(at(NOW), ORGANISATION, None, "Ledger sync", "")
    given().when(register()).then(registered)
    given().when(register("b", "a")).then(registered, ApplicationApisConnected(at(NOW), ("a", "b")))
    given(REGISTERED).when(register()).refuses(errors.AlreadyExists, "already_exists")


def test_an_application_is_described_where_something_changes() -> None:
    given(REGISTERED).when(describe(title=Name("Sync"))).then(
        ApplicationDescribed(at(NOW), "Sync", "Books our payouts.")
    )
    given(REGISTERED).when(describe(description=Description(""))).then(ApplicationDescribed(at(NOW), "Ledger sync", ""))
    given(REGISTERED).when(describe()).refuses(errors.NothingChanged, "nothing_changed")


def test_apis_are_set_whole() -> None:
    connected = ApplicationApisConnected(at(START), ("a",))
    given(REGISTERED, connected).when(connect("b")).then(ApplicationApisConnected(at(NOW), ("b",)))
    given(REGISTERED, connected).when(connect()).then(ApplicationApisConnected(at(NOW), ()))
    given(REGISTERED, connected).when(connect("a")).refuses(errors.NothingChanged, "nothing_changed")


def test_archiving_is_final() -> None:
    given(REGISTERED).when(archive()).then(ApplicationArchived(at(NOW)))
    for command in (archive(), connect("a"), describe(title=Name("Sync"))):
        given(REGISTERED, ARCHIVED).when(command).refuses(errors.ApplicationArchived, "application_archived")


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="ApplicationArchived"):
        evolve(None, recorded([ARCHIVED])[0])
