"""The rules of an organisation: registered, renamed, and how long it keeps personal data."""

import pytest

from ledger import errors
from ledger.commands import RegisterOrganisation, RenameOrganisation, SetRetention
from ledger.events import OrganisationRegistered, OrganisationRenamed, OrganisationRetentionChanged
from ledger.organisation import evolve
from ledger.values import RETENTION_DAYS_MAX, Name
from tests.unit.deciding import AGGREGATE, NOW, START, at, given, recorded

REGISTERED = OrganisationRegistered(at(START), "Acme")


def register(name: str = "Acme") -> RegisterOrganisation:
    """Register a tenant of this name."""
    return RegisterOrganisation(context=at(NOW), organisation_id=AGGREGATE, name=Name(name))


def rename(name: str) -> RenameOrganisation:
    """Call it something else."""
    return RenameOrganisation(context=at(NOW), organisation_id=AGGREGATE, name=Name(name))


def test_an_organisation_is_registered_once() -> None:
    given().when(register()).then(OrganisationRegistered(at(NOW), "Acme"))
    given(REGISTERED).when(register()).refuses(errors.AlreadyExists, "already_exists")


def test_an_organisation_is_renamed_when_the_name_is_another() -> None:
    given(REGISTERED).when(rename("Acme Ltd")).then(OrganisationRenamed(at(NOW), "Acme Ltd"))
    given(REGISTERED).when(rename("Acme")).refuses(errors.NothingChanged, "nothing_changed")


def keep(days: int | None) -> SetRetention:
    """Keep personal data for so many days."""
    return SetRetention(context=at(NOW), organisation_id=AGGREGATE, days=days)


def test_an_organisation_has_a_retention_of_its_own_until_it_takes_the_installations_again() -> None:
    ninety = OrganisationRetentionChanged(at(START), 90)
    for days in (0, 1, RETENTION_DAYS_MAX):
        given(REGISTERED).when(keep(days)).then(OrganisationRetentionChanged(at(NOW), days))
    given(REGISTERED, ninety).when(keep(None)).then(OrganisationRetentionChanged(at(NOW), None))
    given(REGISTERED, ninety).when(keep(0)).then(OrganisationRetentionChanged(at(NOW), 0))


def test_a_retention_that_it_has_and_one_that_cannot_be_meant_are_refused() -> None:
    given(REGISTERED).when(keep(None)).refuses(errors.NothingChanged, "nothing_changed")
    given(REGISTERED, OrganisationRetentionChanged(at(START), 9)).when(keep(9)).refuses(
        errors.NothingChanged, "nothing_changed"
    )
    for days in (-1, RETENTION_DAYS_MAX + 1):
        given(REGISTERED).when(keep(days)).refuses(errors.InvalidValue, "out_of_range")


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="OrganisationRenamed"):
        evolve(None, recorded([OrganisationRenamed(at(START), "Acme")])[0])
