"""What happened to one thing, step by step, and what it was at any version or time. Read from the log itself.

Personal values are in clear while their key exists, and empty once it was destroyed; what verifies a secret is never
shown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ledger import access_review, export, sealed_log
from ledger.events import EVENTS, CredentialErased, Event, OperatorErased, Recorded, StoredSecret
from ledger.store.log import EventLog, History
from projections import PROJECTIONS
from projections.pages import LIMIT_DEFAULT, checked_limit, decode_cursor, encode_cursor
from projections.view import StateView, fold

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


VERSION_MAX = 2**31 - 1  # no thing ever has as many versions; a larger number is a mistake


@dataclass(frozen=True, slots=True)
class Moment:
    """A version, or a time that is still in it; the present where neither is given."""

    version: int | None = None
    time: datetime | None = None


PRESENT = Moment()


@dataclass(frozen=True, slots=True)
class Life:
    """All that happened to one thing, from which it is read as it was at any moment.

    The history is whole, as erasure at its end shows at its beginning: `erased` tells that personal values are gone.
    """

    recorded: Sequence[Recorded]
    erased: bool

    @property
    def kind(self) -> str:
        """What it is: the first part of its topics (`credential`)."""
        return self.recorded[0].event.TOPIC.partition(".")[0]

    def up_to(self, moment: Moment = PRESENT) -> Sequence[Recorded]:
        """The beginning of the history; all of it where there is no such version yet.

        It ends before the first event that is later than the time: clocks of several machines may differ, the order of
        versions does not.
        """
        end = len(self.recorded) if moment.version is None else max(0, min(moment.version, len(self.recorded)))
        if moment.time is not None:
            later = (index for index, one in enumerate(self.recorded[:end]) if one.event.context.at > moment.time)
            end = next(later, end)
        return self.recorded[:end]

    def state(self, moment: Moment = PRESENT) -> Any:
        """What it was, or is; None where it was not there yet, or did not come to that version."""
        recorded = self.up_to(moment)
        if not recorded or moment.version not in (None, recorded[-1].aggregate_version):
            return None
        return fold(EVOLVE[self.kind], recorded)

    def steps(self, moment: Moment = PRESENT) -> Iterator[tuple[Recorded, Any]]:
        """Each event up to that moment, and the state that it left."""
        state: Any = None
        for recorded in self.up_to(moment):
            state = EVOLVE[self.kind](state, recorded)
            yield recorded, state

    def reads(self, moment: Moment = PRESENT) -> Any:
        """The same as it reads today. Erasure alone reaches back: the `erased_at` of a credential or an operator says
        why what is personal is empty, also at a moment before that.
        """
        state = self.state(moment)
        last = self.recorded[-1].event  # nothing can happen to what was erased
        if state is None or not isinstance(last, CredentialErased | OperatorErased):
            return state
        return replace(state, erased_at=last.context.at)

    def entries(self, moment: Moment = PRESENT) -> list[Entry]:
        """What had happened, as it is told."""
        return [_entry(one, self.erased) for one in self.up_to(moment)]


EVOLVE: Mapping[str, Callable[[Any, Recorded], Any]] = {
    # which no view shows
    "access_review": access_review.evolve,
    "export": export.evolve,
    "sealed_log": sealed_log.evolve,
    **{view.aggregate: view.evolve for view in PROJECTIONS if isinstance(view, StateView)},
}
"""How each kind of thing is folded."""


def life_of(log: EventLog, organisation_id: UUID | None, aggregate_id: UUID, kind: str | None = None) -> Life | None:
    """All that happened to a thing; None where there is no such one, of this organisation and kind (None: any)."""
    return _life_of(log.history(aggregate_id), organisation_id, kind)


def _life_of(history: History, organisation_id: UUID | None, kind: str | None) -> Life | None:
    if not history.recorded or organisation_id not in (None, history.recorded[0].organisation_id):
        return None
    life = Life(history.recorded, history.data_key is None)
    return life if kind in (None, life.kind) else None


class HistoryPage(NamedTuple):
    """Some steps of a history, oldest first, and the cursor of the next page; None on the last.

    `first` is the step that it began with, which says for good what it is about.
    """

    first: Recorded
    entries: list[Entry]
    cursor: str | None


def list_history(
    log: EventLog,
    organisation_id: UUID | None,
    aggregate_id: UUID,
    kind: str,
    *,
    up_to_version: int | None = None,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> HistoryPage | None:
    """A page of what happened to a thing, however long its history is; None as `life_of` has it.

    Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    of = (aggregate_id, up_to_version)
    after = decode_cursor(cursor, tuple[int], of)[0] if cursor is not None else 0
    begun = log.history(aggregate_id, up_to_version=1)
    life = _life_of(begun, organisation_id, kind)
    if life is None:
        return None
    part = log.history(
        aggregate_id, after_version=after, up_to_version=up_to_version, limit=checked_limit(limit) + 1
    ).recorded
    entries = [_entry(one, life.erased) for one in part[:limit]]
    return HistoryPage(
        life.recorded[0], entries, encode_cursor((entries[-1].version,), of) if len(part) > limit else None
    )


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
        data=shown_fields(event),
        erased=erased and bool(event.PERSONAL),
    )


def shown_fields(event: Event) -> dict[str, Any]:
    """An event's own fields, as they may be shown: a secret by its version, algorithm and hint."""
    return {
        name: _shown(value) if isinstance(value := getattr(event, name), StoredSecret) else value
        for name in _FIELDS[type(event)]
    }


def _shown(secret: StoredSecret) -> dict[str, Any]:
    return {"version": secret.version, "algorithm": secret.algorithm, "hint": secret.hint}
