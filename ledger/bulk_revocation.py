"""A bulk revocation: what somebody confirmed, and how far it has come.

The run holds the ids of exactly those credentials that were shown and confirmed; whatever is created meanwhile is none
of them. It advances through these ids in their order, and each step is recorded in one commit with the revocations it
tells of, so that a run which was cut off goes on where it was and its counts are always true.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ledger.commands import AdvanceBulkRevocation, StartBulkRevocation
from ledger.errors import AlreadyExists, InvalidValue, NothingChanged
from ledger.events import (
    BulkRevocationAdvanced,
    BulkRevocationFinished,
    BulkRevocationStarted,
    Context,
    Event,
    Recorded,
)
from ledger.values import RevocationReason

# The ids travel in one event, 400 kB of it at most. Whoever has more to revoke says so in several runs, and so reads
# several lists before it happens.
CREDENTIALS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class BulkRevocation:
    """A run as its events left it. `started` is the context of whoever confirmed it: in their name it is done."""

    id: UUID
    organisation_id: UUID
    contact_email: str
    selection: Mapping[str, str]
    revocation_reason: RevocationReason
    digest: str
    credential_ids: tuple[UUID, ...]
    started: Context
    revoked: int
    skipped: int
    finished_at: datetime | None
    version: int

    @property
    def total(self) -> int:
        """How many credentials it is about."""
        return len(self.credential_ids)

    @property
    def left(self) -> tuple[UUID, ...]:
        """The credentials that are still to be dealt with, in their order."""
        return self.credential_ids[self.revoked + self.skipped :]


def evolve(state: BulkRevocation | None, recorded: Recorded) -> BulkRevocation:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    if isinstance(event, BulkRevocationStarted):
        return BulkRevocation(
            id=recorded.aggregate_id,
            organisation_id=event.organisation_id,
            contact_email=event.contact_email,
            selection=event.selection,
            revocation_reason=event.revocation_reason,
            digest=event.digest,
            credential_ids=event.credential_ids,
            started=event.context,
            revoked=0,
            skipped=0,
            finished_at=None,
            version=version,
        )
    if state is None:
        raise TypeError(f"a bulk revocation's history cannot begin with {type(event).__name__}")
    match event:
        case BulkRevocationAdvanced():
            revoked, skipped = state.revoked + event.revoked, state.skipped + event.skipped
            return replace(state, revoked=revoked, skipped=skipped, version=version)
        case BulkRevocationFinished():
            return replace(state, finished_at=event.context.at, version=version)
    raise TypeError(f"a bulk revocation has no branch for {type(event).__name__}")


def start_bulk_revocation(state: BulkRevocation | None, command: StartBulkRevocation) -> list[Event]:
    """A new run over the credentials that were confirmed."""
    if state is not None:
        raise AlreadyExists("a bulk revocation with this id exists")
    if not command.credential_ids:
        raise NothingChanged("no open credential is covered")
    if len(command.credential_ids) > CREDENTIALS_MAX:
        raise InvalidValue(
            "filter", f"covers more than {CREDENTIALS_MAX} credentials: narrow it", "selection_too_large"
        )
    return [
        BulkRevocationStarted(
            command.context,
            organisation_id=command.organisation_id,
            contact_email=command.contact_email or "",
            selection=command.selection,
            revocation_reason=command.revocation_reason,
            digest=command.digest,
            credential_ids=command.credential_ids,
        )
    ]


def advance_bulk_revocation(state: BulkRevocation, command: AdvanceBulkRevocation) -> list[Event]:
    """So many more were dealt with; with the last of them the run is finished."""
    if state.finished_at is not None:
        raise NothingChanged("the bulk revocation is finished")
    step = command.revoked + command.skipped
    if min(command.revoked, command.skipped) < 0 or not 0 < step <= len(state.left):
        raise InvalidValue("revoked", "is not a part of what is left", "out_of_range")
    events: list[Event] = [BulkRevocationAdvanced(command.context, command.revoked, command.skipped)]
    if step == len(state.left):
        revoked, skipped = state.revoked + command.revoked, state.skipped + command.skipped
        events.append(BulkRevocationFinished(command.context, revoked, skipped))
    return events
