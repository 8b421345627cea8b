"""The rules of an organisation: registered, renamed."""

import pytest

from ledger import errors
from ledger.commands import RegisterOrganisation, RenameOrganisation
from ledger.events import OrganisationRegistered, OrganisationRenamed
from ledger.organisation import evolve
from ledger.values import Name
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


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="OrganisationRenamed"):
        evolve(None, recorded([OrganisationRenamed(at(START), "Acme")])[0])
