"""What happened to one thing, step by step, and what it was at any version or time. Read from the log itself.

Personal values are in clear while their key exists, and empty once it was destroyed; what verifies a secret is never
shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.credential import Credential, evolve
from ledger.events import EVENTS, CredentialCreated, Event, Recorded, StoredSecret
from ledger.store.log import EventLog
from projections.view import fold

# Nobody verifies with a hash that is shown, but whoever sees it may try to break it at leisure; whoever sees a signing
# secret can sign.
_HIDDEN = frozenset({"context", "password_hash", "signing_secret"})
_FIELDS: dict[type[Event], tuple[str, ...]] = {
    event_type: tuple(f.name for f in fields(event_type) if f.name not in _HIDDEN) for event_type in EVENTS
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a history.

    `data` are the event's own fields. `erased` tells that the personal ones among them are empty because their key was
    destroyed, and not because nothing was given.
    """

    version: int
    position: int
    topic: str
    at: datetime
    actor: str
    via: str
    reason: str
    request_id: str
    address: str
    data: dict[str, Any]
    erased: bool


def history_of(
    log: EventLog,
    organisation_id: UUID | None,
    aggregate_id: UUID,
    *,
    up_to_version: int | None = None,
    up_to_time: datetime | None = None,
) -> list[Entry] | None:
    """All that happened to a credential, an operator or an organisation, up to a version or a time (inclusive).

    None where there is no such thing, or it is not this organisation's (None: any); empty where it was not there yet.
    """
    found = _recorded(log, organisation_id, aggregate_id)
    if found is None:
        return None
    recorded, erased = found
    return [_entry(one, erased) for one in _up_to(recorded, up_to_version, up_to_time)]


def credential_as_of(
    log: EventLog,
    organisation_id: UUID | None,
    credential_id: UUID,
    *,
    version: int | None = None,
    time: datetime | None = None,
) -> Credential | None:
    """A credential as it was at a version or a time, or as it is; None where this organisation had none such then."""
    found = _recorded(log, organisation_id, credential_id)
    if found is None or not isinstance(found[0][0].event, CredentialCreated):
        return None
    recorded = _up_to(found[0], version, time)
    return fold(evolve, recorded) if recorded else None


def _recorded(
    log: EventLog, organisation_id: UUID | None, aggregate_id: UUID
) -> tuple[Sequence[Recorded], bool] | None:
    """The history, whole, as erasure at the end shows at the beginning; and whether its personal values are gone."""
    history = log.history(aggregate_id)
    if not history.recorded or organisation_id not in (None, history.recorded[0].organisation_id):
        return None
    return history.recorded, history.data_key is None


def _up_to(recorded: Sequence[Recorded], version: int | None, time: datetime | None) -> Sequence[Recorded]:
    """The beginning of a history.

    It ends before the first event that is later: clocks of several machines may differ, the order of versions does not.
    """
    end = len(recorded) if version is None else max(0, min(version, len(recorded)))
    if time is not None:
        end = next((index for index, one in enumerate(recorded[:end]) if one.event.context.at > time), end)
    return recorded[:end]


def _entry(recorded: Recorded, erased: bool) -> Entry:
    event, context = recorded.event, recorded.event.context
    return Entry(
        version=recorded.aggregate_version,
        position=recorded.position,
        topic=event.TOPIC,
        at=context.at,
        actor=context.actor,
        via=context.via,
        reason=context.reason,
        request_id=context.request_id,
        address=context.address,
        data={name: _shown(getattr(event, name)) for name in _FIELDS[type(event)]},
        erased=erased and bool(event.PERSONAL),
    )


def _shown(value: object) -> object:
    """A secret by its version, algorithm and hint, anything else as it is."""
    if isinstance(value, StoredSecret):
        return {"version": value.version, "algorithm": value.algorithm, "hint": value.hint}
    return value
