"""What the reports tell: an organisation's credentials by who answers for them."""

from datetime import datetime
from uuid import UUID

from ledger.store.datastore import LedgerDatastore
from projections.credential_list import DUE, LIVE, set_before
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page

# Read in the order of the index of emails, so that a page ends after its owners and not after the organisation.
_OWNERS = (
    "SELECT c.organisation_id, lower(c.contact_email) AS contact_email, count(*) AS credentials, "  # noqa: S608
    f"count(*) FILTER (WHERE {DUE}) AS overdue, "
    "min(c.secret_set_at) FILTER (WHERE c.suspended_at IS NULL) AS oldest_secret_at "
    "FROM credential_list c WHERE c.organisation_id = %(organisation)s AND c.contact_email <> '' "
    f"AND lower(c.contact_email) > %(after)s AND {LIVE} "
    "GROUP BY c.organisation_id, lower(c.contact_email) ORDER BY lower(c.contact_email) LIMIT %(limit)s"
)


def list_owners(
    store: LedgerDatastore,
    organisation_id: UUID,
    *,
    now: datetime,
    rotation_days: int,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """Who answers for an organisation's good credentials: emails in lower case and in order.

    For each how many there are, how many of those are overdue, and since when the oldest secret among those that are
    not suspended is good. Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    of = ("owners", organisation_id)
    rows = rows_of_page(
        store,
        _OWNERS,
        {
            "organisation": organisation_id,
            "now": now,
            "set_before": set_before(now, rotation_days),
            "after": decode_cursor(cursor, tuple[str], of)[0] if cursor is not None else "",
            "limit": checked_limit(limit) + 1,
        },
    )
    if len(rows) <= limit:
        return Page(rows, None)
    rows.pop()
    return Page(rows, encode_cursor((rows[-1]["contact_email"],), of))
