"""An export: that somebody took events out of the ledger, which ones, and why.

The asking is the whole of its life. What was handed out follows from it and the provable log, and is made anew for as
long as somebody fetches it (`projections/sealed/exporting.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.commands import RequestExport
from ledger.errors import InvalidValue
from ledger.events import EVENTS, Context, Event, ExportRequested, Recorded

AGGREGATES_MAX = 1_000  # named one by one; whoever wants more of them wants the whole
_KINDS = {event.TOPIC for event in EVENTS} | {event.TOPIC.partition(".")[0] for event in EVENTS}


@dataclass(frozen=True, slots=True)
class Export:
    """What was asked for: events from `begin`, inclusive, to `end`, exclusive, of these aggregates, of these topics.

    What is None or empty leaves that open. `personal` asks for personal fields in clear.
    """

    id: UUID
    organisation_id: UUID | None
    requested: Context
    begin: datetime | None
    end: datetime | None
    aggregates: tuple[UUID, ...]
    topics: tuple[str, ...]
    personal: bool
    version: int


def evolve(state: Export | None, recorded: Recorded) -> Export:
    """The state after one more event: the first is the only one."""
    event = recorded.event
    if state is not None or not isinstance(event, ExportRequested):
        raise TypeError(f"an export has no branch for {type(event).__name__}")
    return Export(
        id=recorded.aggregate_id,
        organisation_id=event.organisation_id,
        requested=event.context,
        begin=event.begin,
        end=event.end,
        aggregates=event.aggregates,
        topics=event.topics,
        personal=event.personal,
        version=recorded.aggregate_version,
    )


def request_export(_state: Export | None, command: RequestExport) -> list[Event]:
    """Take the wish down, with its reason. Raises `InvalidValue` for one that could not be meant."""
    if not command.context.reason:
        raise InvalidValue(
            "reason", "is required: whoever reads the history sees why this was taken out", "missing_field"
        )
    if command.begin is not None and command.end is not None and command.begin >= command.end:
        raise InvalidValue("to", "must be later than from", "contradiction")
    if len(command.aggregates) > AGGREGATES_MAX:
        raise InvalidValue("credential_ids", f"must be at most {AGGREGATES_MAX}", "invalid_length")
    for index, topic in enumerate(command.topics):
        if topic not in _KINDS:
            raise InvalidValue(f"topics.{index}", "is not a kind of event, nor of what has events", "unknown_topic")
    return [_requested(command)]


def asks_for(state: Export, command: RequestExport) -> bool:
    """Whether a command asks for just what was asked for before, for the same reason."""
    asked = _requested(command)
    return asked.context.reason == state.requested.reason and all(
        getattr(asked, name) == getattr(state, name)
        for name in ("organisation_id", "begin", "end", "aggregates", "topics", "personal")
    )


def _requested(command: RequestExport) -> ExportRequested:
    return ExportRequested(
        command.context,
        organisation_id=command.organisation_id,
        begin=command.begin,
        end=command.end,
        aggregates=tuple(sorted(set(command.aggregates))),
        topics=tuple(sorted(set(command.topics))),
        personal=command.personal,
    )
