"""The tenant: its state, how events change it, and what may be decided on it."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ledger.commands import RegisterOrganisation, RenameOrganisation, SetRetention
from ledger.errors import AlreadyExists, InvalidValue, NothingChanged
from ledger.events import Event, OrganisationRegistered, OrganisationRenamed, OrganisationRetentionChanged, Recorded
from ledger.values import RETENTION_DAYS_MAX


@dataclass(frozen=True, slots=True)
class Organisation:
    """A tenant as its events left it.

    `retention_days` is after how many days personal data of ended credentials is erased: 0 for never, None for what the
    installation says.
    """

    id: UUID
    name: str
    registered_at: datetime
    version: int
    retention_days: int | None = None


def evolve(state: Organisation | None, recorded: Recorded) -> Organisation:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    match event:
        case OrganisationRegistered():
            return Organisation(recorded.aggregate_id, event.name, event.context.at, version)
        case OrganisationRenamed() if state is not None:
            return replace(state, name=event.name, version=version)
        case OrganisationRetentionChanged() if state is not None:
            return replace(state, retention_days=event.days, version=version)
    raise TypeError(f"an organisation has no branch for {type(event).__name__} in its state")


def register_organisation(state: Organisation | None, command: RegisterOrganisation) -> list[Event]:
    """A new tenant."""
    if state is not None:
        raise AlreadyExists("an organisation with this id exists")
    return [OrganisationRegistered(command.context, command.name)]


def rename_organisation(state: Organisation, command: RenameOrganisation) -> list[Event]:
    """Another name for the tenant."""
    if command.name == state.name:
        raise NothingChanged("the organisation has this name already")
    return [OrganisationRenamed(command.context, command.name)]


def set_retention(state: Organisation, command: SetRetention) -> list[Event]:
    """Another retention of personal data, or that of the installation."""
    if command.days is not None and not 0 <= command.days <= RETENTION_DAYS_MAX:
        raise InvalidValue("days", f"must lie between 0 and {RETENTION_DAYS_MAX}", "out_of_range")
    if command.days == state.retention_days:
        raise NothingChanged("the organisation has this retention already")
    return [OrganisationRetentionChanged(command.context, command.days)]
