"""The access review: who had what at a time. Every credential as it was, with its owner, its age and its last use.

What a credential, its account and its application were is folded from their histories, so it is exact for any past
time. Only the last use of each secret is kept and no event tells of it, so the last use is always the one known now.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from ledger.account import Account
from ledger.application import Application
from ledger.credential import Credential
from ledger.store.log import EventLog
from ledger.values import Status
from projections.credential_list import EVERYTHING, CredentialFilters
from projections.credentials_as_of import CHUNK_MAX, credentials_as_of, list_credentials_as_of
from projections.history import Life, Moment
from projections.pages import LIMIT_DEFAULT


class ReviewLine(NamedTuple):
    """A credential as it was at the review's time, and when it was last used as far as is known now.

    `account` and `application` are what these were called then. `rotation_due_at` is None for one that nobody rotates:
    suspended, expired or revoked.
    """

    credential: Credential
    status: Status
    account: str | None
    application: str | None
    age_days: int
    secret_set_at: datetime
    rotation_due_at: datetime | None
    rotation_overdue: bool
    last_used_at: datetime | None


def access_review(log: EventLog, organisation_id: UUID, at: datetime) -> Iterator[ReviewLine]:
    """Every credential that an organisation had at a time, newest first; also those that had ended by then.

    Raises `ViewBehind` where the list of credentials lacks events that the log has.
    """
    found = credentials_as_of(log, organisation_id, at)
    return _lines(log, found, at, timedelta(days=log.settings.rotation_days))


class AccessReviewLines(NamedTuple):
    """Some lines of a review, and the cursor of the next page; None on the last."""

    lines: list[ReviewLine]
    cursor: str | None


def access_review_lines(
    log: EventLog,
    organisation_id: UUID,
    at: datetime,
    filters: CredentialFilters = EVERYTHING,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> AccessReviewLines:
    """A page of a review. It may come short, and raises what it raises, as `list_credentials_as_of` does."""
    page = list_credentials_as_of(log, organisation_id, at, filters, cursor=cursor, limit=limit)
    rotation_period = timedelta(days=log.settings.rotation_days)
    return AccessReviewLines(list(_lines(log, iter(page.credentials), at, rotation_period)), page.cursor)


def _lines(
    log: EventLog, credentials: Iterator[Credential], at: datetime, rotation_period: timedelta
) -> Iterator[ReviewLine]:
    while chunk := list(islice(credentials, CHUNK_MAX)):
        things = {thing for c in chunk for thing in (c.account_id, c.application_id) if thing is not None}
        names, uses = _names(log, things, at), _last_uses(log, [c.id for c in chunk])
        for c in chunk:
            status, secret_set_at = c.status(at), c.rotated_at or c.created_at
            due = secret_set_at + rotation_period if status in (Status.ACTIVE, Status.ROTATING) else None
            yield ReviewLine(
                credential=c,
                status=status,
                account=None if c.account_id is None else names.get(c.account_id),
                application=None if c.application_id is None else names.get(c.application_id),
                age_days=(at - c.created_at).days,
                secret_set_at=secret_set_at,
                rotation_due_at=due,
                rotation_overdue=due is not None and due < at,
                last_used_at=uses.get(c.id),
            )


def _names(log: EventLog, ids: Iterable[UUID], at: datetime) -> dict[UUID, str]:
    """What accounts and applications were called at a time."""
    names = dict[UUID, str]()
    for thing, history in log.histories_with_keys(list(ids)).items():
        match Life(history.recorded, history.data_key is None).reads(Moment(time=at)):
            case Account(name=name) | Application(title=name):
                names[thing] = name
    return names


def _last_uses(log: EventLog, ids: list[UUID]) -> dict[UUID, datetime]:
    rows = log.datastore.rows(
        "SELECT credential_id, max(last_used_at) AS at FROM secret_usage WHERE credential_id = ANY(%s) "
        "GROUP BY credential_id",
        (ids,),
    )
    return {row["credential_id"]: row["at"] for row in rows}
