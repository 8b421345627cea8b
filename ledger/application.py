"""An application: what an integrator registers, connects to APIs, and holds credentials for."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ledger.commands import ArchiveApplication, ConnectApis, DescribeApplication, RegisterApplication
from ledger.errors import AlreadyExists, NothingChanged
from ledger.errors import ApplicationArchived as ApplicationIsArchived
from ledger.events import (
    ApplicationApisConnected,
    ApplicationArchived,
    ApplicationDescribed,
    ApplicationRegistered,
    Context,
    Event,
    Recorded,
)
from ledger.values import REASON_CHARS_MAX, Reason


@dataclass(frozen=True, slots=True)
class Application:
    """An application as its events left it. `id` is its App ID, `apis` are the names of those it is connected to.

    `archived` is the context of its end: who gave it up, when, why and for which request.
    """

    id: UUID
    organisation_id: UUID
    account_id: UUID | None
    title: str
    description: str
    apis: tuple[str, ...]
    created_at: datetime
    archived: Context | None
    version: int


def evolve(state: Application | None, recorded: Recorded) -> Application:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    if isinstance(event, ApplicationRegistered):
        return Application(
            id=recorded.aggregate_id,
            organisation_id=event.organisation_id,
            account_id=event.account_id,
            title=event.title,
            description=event.description,
            apis=(),
            created_at=event.context.at,
            archived=None,
            version=version,
        )
    if state is None:
        raise TypeError(f"an application's history cannot begin with {type(event).__name__}")
    match event:
        case ApplicationDescribed():
            return replace(state, title=event.title, description=event.description, version=version)
        case ApplicationApisConnected():
            return replace(state, apis=event.apis, version=version)
        case ApplicationArchived():
            return replace(state, archived=event.context, version=version)
    raise TypeError(f"an application has no branch for {type(event).__name__}")


def register_application(state: Application | None, command: RegisterApplication) -> list[Event]:
    """A new application, connected to its APIs where some are given: one commit."""
    if state is not None:
        raise AlreadyExists("an application with this id exists")
    events: list[Event] = [
        ApplicationRegistered(
            command.context,
            organisation_id=command.organisation_id,
            account_id=command.account_id,
            title=command.title,
            description=command.description or "",
        )
    ]
    if command.apis:
        events.append(ApplicationApisConnected(command.context, command.apis))
    return events


def describe_application(state: Application, command: DescribeApplication) -> list[Event]:
    """Another title or description."""
    _refuse_archived(state)
    title = state.title if command.title is None else command.title
    description = state.description if command.description is None else command.description
    if (title, description) == (state.title, state.description):
        raise NothingChanged("nothing would change")
    return [ApplicationDescribed(command.context, title, description)]


def connect_apis(state: Application, command: ConnectApis) -> list[Event]:
    """Other APIs, whole."""
    _refuse_archived(state)
    if command.apis == state.apis:
        raise NothingChanged("the application is connected to these APIs already")
    return [ApplicationApisConnected(command.context, command.apis)]


def archive_application(state: Application, command: ArchiveApplication) -> list[Event]:
    """No more credentials, and no more access for those there are."""
    _refuse_archived(state)
    return [ApplicationArchived(command.context)]


def reason_of_archiving(archived_reason: str) -> Reason:
    """What the histories of an archived application's credentials say: why that was archived, cut where too long."""
    told = f"application archived: {archived_reason}" if archived_reason else "application archived"
    return Reason(told[:REASON_CHARS_MAX])


def _refuse_archived(state: Application) -> None:
    if state.archived is not None:
        raise ApplicationIsArchived("the application is archived, which is final: register another")
