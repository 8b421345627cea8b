"""The access review: who had what at a time. Every credential as it was, with its owner, its age and its last use.

What a credential, its account and its application were is folded from their histories, so it is exact for any past
time. Only the last use of each secret is kept and no event tells of it, so the last use is always the one known now.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from ledger.account import Account
from ledger.application import Application
from ledger.catalogue import DEFAULT_CATALOGUE, Catalogue, OrganisationCatalogue
from ledger.credential import Credential
from ledger.permissions import catalogue_of
from ledger.store.log import EventLog
from ledger.values import Status
from projections.credential_list import EVERYTHING, CredentialFilters
from projections.credentials_as_of import CHUNK_MAX, credentials_as_of, list_credentials_as_of
from projections.history import Life, Moment, life_of
from projections.pages import LIMIT_DEFAULT


class ReviewLine(NamedTuple):
    """A credential as it was at the review's time, and when it was last used as far as is known now.

    `account` and `application` are what these were called then. `rotation_due_at` is None for one that nobody rotates:
    suspended, expired or revoked. `effective_scopes` are those of its scopes that granted something then: which its
    application's APIs took, and which were not retired.
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
    effective_scopes: tuple[str, ...]


def access_review(log: EventLog, organisation_id: UUID, at: datetime) -> Iterator[ReviewLine]:
    """Every credential that an organisation had at a time, newest first; also those that had ended by then.

    Raises `ViewBehind` where the list of credentials lacks events that the log has.
    """
    found = credentials_as_of(log, organisation_id, at)
    return _lines(log, organisation_id, found, at)


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
    return AccessReviewLines(list(_lines(log, organisation_id, iter(page.credentials), at)), page.cursor)


def _lines(
    log: EventLog, organisation_id: UUID, credentials: Iterator[Credential], at: datetime
) -> Iterator[ReviewLine]:
    rotation_period = timedelta(days=log.settings.rotation_days)
    catalogue = _catalogue(log, organisation_id, at)
    while chunk := list(islice(credentials, CHUNK_MAX)):
        accounts = _things(log, {c.account_id for c in chunk if c.account_id is not None}, at)
        applications = _things(log, {c.application_id for c in chunk if c.application_id is not None}, at)
        uses = _last_uses(log, [c.id for c in chunk])
        for c in chunk:
            status, secret_set_at = c.status(at), c.rotated_at or c.created_at
            due = secret_set_at + rotation_period if status in (Status.ACTIVE, Status.ROTATING) else None
            account: Account | None = accounts.get(c.account_id)
            application: Application | None = applications.get(c.application_id)
            apis = () if application is None else application.apis
            ceiling = None if c.application_id is None else catalogue.ceiling(apis)
            yield ReviewLine(
                credential=c,
                status=status,
                account=None if account is None else account.name,
                application=None if application is None else application.title,
                age_days=(at - c.created_at).days,
                secret_set_at=secret_set_at,
                rotation_due_at=due,
                rotation_overdue=due is not None and due < at,
                last_used_at=uses.get(c.id),
                effective_scopes=catalogue.effective(c.scopes, c.mode, ceiling),
            )


def _catalogue(log: EventLog, organisation_id: UUID, at: datetime) -> Catalogue:
    """The organisation's catalogue as it was; the one that all begin with, where nobody had changed it by then."""
    life = life_of(log, organisation_id, catalogue_of(organisation_id))
    state: OrganisationCatalogue | None = None if life is None else life.state(Moment(time=at))
    return DEFAULT_CATALOGUE if state is None else state.catalogue


def _things(log: EventLog, ids: Iterable[UUID], at: datetime) -> dict[UUID | None, Any]:
    """What accounts or applications were at a time; those that were not there yet are left out."""
    histories = log.histories_with_keys(list(ids))
    lives = {thing: Life(history.recorded, history.data_key is None) for thing, history in histories.items()}
    found = {thing: life.reads(Moment(time=at)) for thing, life in lives.items()}
    return {thing: state for thing, state in found.items() if state is not None}


def _last_uses(log: EventLog, ids: list[UUID]) -> dict[UUID, datetime]:
    rows = log.datastore.rows(
        "SELECT credential_id, max(last_used_at) AS at FROM secret_usage WHERE credential_id = ANY(%s) "
        "GROUP BY credential_id",
        (ids,),
    )
    return {row["credential_id"]: row["at"] for row in rows}
