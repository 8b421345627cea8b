"""An access review: that somebody asked who had what in an organisation, as of when, and why.

The asking is the whole of its life. What it shows follows from the log, and is made anew for as long as somebody
fetches it (`projections/access_review.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.commands import RequestAccessReview
from ledger.errors import InvalidValue
from ledger.events import AccessReviewRequested, Context, Event, Recorded


@dataclass(frozen=True, slots=True)
class AccessReview:
    """What was asked for: every credential of an organisation as it was at a time, and who had it."""

    id: UUID
    organisation_id: UUID
    requested: Context
    as_of: datetime
    version: int


def evolve(state: AccessReview | None, recorded: Recorded) -> AccessReview:
    """The state after one more event: the first is the only one."""
    event = recorded.event
    if state is not None or not isinstance(event, AccessReviewRequested):
        raise TypeError(f"an access review has no branch for {type(event).__name__}")
    return AccessReview(
        id=recorded.aggregate_id,
        organisation_id=event.organisation_id,
        requested=event.context,
        as_of=event.as_of,
        version=recorded.aggregate_version,
    )


def request_access_review(_state: AccessReview | None, command: RequestAccessReview) -> list[Event]:
    """Take the wish down, with its reason. Raises `InvalidValue` for a time that is still to come."""
    if not command.context.reason:
        raise InvalidValue(
            "reason", "is required: whoever reads the history sees why this was taken out", "missing_field"
        )
    if command.as_of > command.context.at:
        raise InvalidValue("as_of", "lies in the future, which is not written yet", "future_time")
    return [AccessReviewRequested(command.context, organisation_id=command.organisation_id, as_of=command.as_of)]
