"""A bulk revocation: what somebody confirmed, and how far it has come.

The run holds the ids of exactly those credentials that were shown and confirmed; whatever is created meanwhile is none
of them. It advances through these ids in their order, and each step is recorded in one commit with the revocations it
tells of, so that a run which was cut off goes on where it was and its counts are always true.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from uuid import UUID

from ledger.commands import AdvanceBulkRevocation, EraseBulkRevocation, StartBulkRevocation
from ledger.errors import AlreadyExists, InvalidValue, NothingChanged
from ledger.events import (
    BulkRevocationAdvanced,
    BulkRevocationErased,
    BulkRevocationFinished,
    BulkRevocationStarted,
    Context,
    Event,
    Recorded,
)
from ledger.values import (
    Channel,
    EmailAddress,
    Environment,
    Kind,
    LabelKey,
    LabelValue,
    Mode,
    PublicId,
    RevocationReason,
)

# The ids travel in one event, 400 kB of it at most. Whoever has more to revoke says so in several runs, and so reads
# several lists before it happens.
CREDENTIALS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """By what credentials are chosen: all that is given must hold. `label` is a name and the value it must have;
    `public_ids` are logins as well.

    Raises `InvalidValue` where nothing is given: nobody means every credential there is.
    """

    contact_email: EmailAddress | None = None
    account_id: UUID | None = None
    application_id: UUID | None = None
    label: tuple[LabelKey, LabelValue] | None = None
    ids: tuple[UUID, ...] | None = None
    public_ids: tuple[PublicId, ...] | None = None
    kind: Kind | None = None
    mode: Mode | None = None
    environment: Environment | None = None
    channel: Channel | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        if not self._given():
            raise InvalidValue("filter", "must say by what the credentials are chosen", "missing_field")

    def _given(self) -> dict[str, object]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, ())}

    def described(self) -> dict[str, str]:
        """What the run's history says of it. Not the email, which is personal and stands beside it; of named ones their
        number, as the run holds the ids of all that it covers.
        """
        given = self._given()
        given.pop("contact_email", None)
        if self.label is not None:
            given["label"] = "=".join(self.label)
        return {name: _described(value) for name, value in given.items()}

    def digest(self, organisation_id: UUID, revocation_reason: RevocationReason, credential_ids: Sequence[UUID]) -> str:
        """What a dry run shows and its confirmation repeats: the SHA-256 of all that is agreed to, in hexadecimal.

        `credential_ids` are those that the selection covers, in order.
        """
        agreed = {
            "organisation_id": str(organisation_id),
            "filter": {**self.described(), "contact_email": self.contact_email},
            "revocation_reason": revocation_reason,
            "credential_ids": list(map(str, credential_ids)),
        }
        canonical = json.dumps(agreed, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _described(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case tuple():
            return f"{len(value)} named"
    return str(value)


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
        case BulkRevocationErased():
            return replace(state, contact_email="", version=version)
    raise TypeError(f"a bulk revocation has no branch for {type(event).__name__}")


def refuse_too_many(credential_ids: Sequence[UUID]) -> None:
    """Refuse more credentials than one run takes."""
    if len(credential_ids) > CREDENTIALS_MAX:
        raise InvalidValue(
            "filter", f"covers more than {CREDENTIALS_MAX} credentials: narrow it", "selection_too_large"
        )


def start_bulk_revocation(state: BulkRevocation | None, command: StartBulkRevocation) -> list[Event]:
    """A new run over the credentials that were confirmed."""
    if state is not None:
        raise AlreadyExists("a bulk revocation with this id exists")
    if not command.credential_ids:
        raise NothingChanged("no open credential is covered")
    refuse_too_many(command.credential_ids)
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


def erase_bulk_revocation(state: BulkRevocation, command: EraseBulkRevocation) -> list[Event]:
    """The email goes; a run that is not finished goes on, as it holds the ids of what it is about."""
    if not state.contact_email:
        raise NothingChanged("the bulk revocation holds no email")
    return [BulkRevocationErased(command.context)]
