"""People and gateways who use the service with a token: state, how events change it, what may be decided."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ledger.commands import (
    ChangeOperatorRoles,
    EndTokenOverlap,
    EnrolOperator,
    EraseOperator,
    RemoveOperator,
    RotateOperatorToken,
)
from ledger.errors import AlreadyExists, InvalidValue, NothingChanged, OperatorNotRemoved, SignsInElsewhere
from ledger.errors import OperatorErased as OperatorIsErased
from ledger.errors import OperatorRemoved as OperatorIsRemoved
from ledger.events import (
    Event,
    OperatorEnrolled,
    OperatorErased,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
    Recorded,
)
from ledger.secret_versions import SecretVersion, add_version, first_version, older_of_two, overlap_end, retire_up_to
from ledger.values import Role


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator as its events left it. `organisation_id` None means all of them.

    `issuer` and `subject` are of who signs in at an identity provider, empty for all others.
    """

    id: UUID
    name: str
    email: str
    organisation_id: UUID | None
    roles: tuple[Role, ...]
    production: bool
    secrets: tuple[SecretVersion, ...]
    issuer: str
    subject: str
    enrolled_at: datetime
    removed_at: datetime | None
    erased_at: datetime | None
    version: int


def evolve(state: Operator | None, recorded: Recorded) -> Operator:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    if isinstance(event, OperatorEnrolled):
        return Operator(
            id=recorded.aggregate_id,
            name=event.name,
            email=event.email,
            organisation_id=event.organisation_id,
            roles=event.roles,
            production=event.production,
            secrets=first_version(event.secret, "", event.context.at),
            issuer=event.issuer,
            subject=event.subject,
            enrolled_at=event.context.at,
            removed_at=None,
            erased_at=None,
            version=version,
        )
    if state is None:
        raise TypeError(f"an operator's history cannot begin with {type(event).__name__}")
    match event:
        case OperatorRolesChanged():
            return replace(state, roles=event.roles, production=event.production, version=version)
        case OperatorTokenRotated():
            secrets = add_version(state.secrets, event.secret, "", event.context.at, event.previous_expires_at)
            return replace(state, secrets=secrets, version=version)
        case OperatorTokenOverlapEnded():
            secrets = retire_up_to(state.secrets, event.retired_version, event.context.at)
            return replace(state, secrets=secrets, version=version)
        case OperatorRemoved():
            return replace(state, removed_at=event.context.at, version=version)
        case OperatorErased():
            return replace(state, name="", email="", subject="", erased_at=event.context.at, version=version)
    raise TypeError(f"an operator has no branch for {type(event).__name__}")


def enrol_operator(state: Operator | None, command: EnrolOperator) -> list[Event]:
    """A new operator, with its first token."""
    if state is not None:
        raise AlreadyExists("an operator with this id exists")
    return [
        OperatorEnrolled(
            command.context,
            name=command.name,
            email=command.email or "",
            organisation_id=command.organisation_id,
            roles=_sorted(command.roles),
            production=command.production,
            secret=replace(command.secret, version=1),
            issuer=command.identity.issuer if command.identity else "",
            subject=command.identity.subject if command.identity else "",
        )
    ]


def change_operator_roles(state: Operator, command: ChangeOperatorRoles) -> list[Event]:
    """Other roles, or the grant for production credentials given or taken."""
    _refuse_removed(state)
    roles = () if state.issuer and not command.roles else _sorted(command.roles)
    if roles == state.roles and command.production == state.production:
        raise NothingChanged("the operator has these roles already")
    return [OperatorRolesChanged(command.context, roles, command.production)]


def rotate_operator_token(state: Operator, command: RotateOperatorToken) -> list[Event]:
    """A new token; the old one stays good for the overlap."""
    _refuse_removed(state)
    if state.issuer:
        raise SignsInElsewhere("the operator signs in at an identity provider, which a token would outlast")
    at = command.context.at
    secret = replace(command.secret, version=state.secrets[-1].version + 1)
    return [OperatorTokenRotated(command.context, secret, overlap_end(state.secrets, at, command.overlap))]


def end_token_overlap(state: Operator, command: EndTokenOverlap) -> list[Event]:
    """The older token ends now."""
    _refuse_removed(state)
    retired = older_of_two(state.secrets, command.context.at)
    return [OperatorTokenOverlapEnded(command.context, retired.version)]


def remove_operator(state: Operator, command: RemoveOperator) -> list[Event]:
    """No more access."""
    _refuse_removed(state)
    return [OperatorRemoved(command.context)]


def erase_operator(state: Operator, command: EraseOperator) -> list[Event]:
    """The name and the email go; only of somebody who has no access any more."""
    if state.erased_at is not None:
        raise OperatorIsErased("the operator's personal data was erased already")
    if state.removed_at is None:
        raise OperatorNotRemoved("remove the operator first: who still has access cannot be nameless")
    return [OperatorErased(command.context)]


def _refuse_removed(state: Operator) -> None:
    if state.removed_at is not None:
        raise OperatorIsRemoved("the operator was removed: enrol another")


def _sorted(roles: frozenset[Role]) -> tuple[Role, ...]:
    if not roles:
        raise InvalidValue("roles", "must name at least one role", "invalid_length")
    return tuple(sorted(roles))
