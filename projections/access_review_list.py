"""The access reviews of an organisation: who asked, as of when and why, newest first."""

from typing import NamedTuple
from uuid import UUID

from ledger.access_review import AccessReview, evolve
from ledger.events import AccessReviewRequested
from ledger.store.log import EventLog
from projections.activity import ActivityFilters, list_activity
from projections.pages import LIMIT_DEFAULT

ASKED_FOR = ActivityFilters(topic=AccessReviewRequested.TOPIC)


class AccessReviewPage(NamedTuple):
    """Some access reviews, and the cursor of the next page; None on the last."""

    reviews: list[AccessReview]
    cursor: str | None


def list_access_reviews(
    log: EventLog, organisation_id: UUID, *, cursor: str | None = None, limit: int = LIMIT_DEFAULT
) -> AccessReviewPage:
    """A page of what was asked for, from the feed of activity, so it may be as far behind as that is.

    Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    page = list_activity(log.datastore, organisation_id, ASKED_FOR, cursor=cursor, limit=limit)
    found = {one.position: evolve(None, one) for one, _ in log.recorded_at([row["position"] for row in page.rows])}
    return AccessReviewPage([found[row["position"]] for row in page.rows], page.cursor)
