"""What the reports count: an organisation's credentials by who answers for them, and all of an installation's."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.store.datastore import LedgerDatastore
from projections.credential_list import DUE, LIVE, set_before
from projections.pages import rows_of_page

# Read in the order of the index of emails, so that a page ends after its owners and not after the organisation.
_OWNERS = (
    "SELECT lower(c.contact_email) AS contact_email, count(*) AS credentials, "  # noqa: S608 - constants of ours
    f"count(*) FILTER (WHERE {DUE}) AS overdue, "
    "min(c.secret_set_at) FILTER (WHERE c.suspended_at IS NULL) AS oldest_secret_at "
    "FROM credential_list c WHERE c.organisation_id = %(organisation)s AND c.contact_email <> '' "
    f"AND lower(c.contact_email) > %(after)s AND {LIVE} "
    "GROUP BY lower(c.contact_email) ORDER BY lower(c.contact_email) LIMIT %(limit)s"
)


def list_owners(
    store: LedgerDatastore, organisation_id: UUID, *, now: datetime, rotation_days: int, after: str, limit: int
) -> list[dict[str, Any]]:
    """Who answers for an organisation's good credentials: emails in lower case and in order, after one (or `""`).

    For each how many there are, how many of those are overdue, and since when the oldest secret among those that are
    not suspended is good.
    """
    return rows_of_page(
        store,
        _OWNERS,
        {
            "organisation": organisation_id,
            "now": now,
            "set_before": set_before(now, rotation_days),
            "after": after,
            "limit": limit,
        },
    )
