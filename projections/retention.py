"""Whose personal data a retention policy erases: that of credentials which ended so many days ago."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from ledger.store.datastore import LedgerDatastore
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page

# As `credential_list_to_erase` has them: ended or going to end, by revocation or expiry, whichever is first.
_TO_ERASE = "erased_at IS NULL AND over_at < 'infinity'"


def list_to_erase(
    store: LedgerDatastore,
    organisation_id: UUID,
    days: int,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """What a policy of so many days would erase of an organisation, and when (`erase_at`): the earliest first, also
    those that have yet to end. Nothing for 0 days, which is no policy.
    """
    of = ("retention", organisation_id, days)
    since, after = ("-infinity", UUID(int=0)) if cursor is None else decode_cursor(cursor, tuple[str, UUID], of)
    checked_limit(limit)
    if not days:
        return Page([], None)
    rows = rows_of_page(
        store,
        "SELECT credential_id, name, kind, mode, over_at AS ended_at, over_at + %(days)s AS erase_at "  # noqa: S608
        f"FROM credential_list WHERE organisation_id = %(organisation)s AND {_TO_ERASE} "
        "AND (over_at, credential_id) > (%(since)s, %(after)s) ORDER BY over_at, credential_id LIMIT %(limit)s",
        {
            "organisation": organisation_id,
            "days": timedelta(days=days),
            "since": since,
            "after": after,
            "limit": limit + 1,
        },
    )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    key = None if last is None else (last["ended_at"].isoformat(), last["credential_id"])
    return Page(shown, None if key is None else encode_cursor(key, of))


class Due(NamedTuple):
    """A credential to erase, after how many days its organisation does that."""

    credential_id: UUID
    days: int


def list_due(store: LedgerDatastore, now: datetime, days: int, limit: int) -> list[Due]:
    """Credentials of all organisations that ended as long ago as their organisation says, or `days` where it says
    nothing, and are not erased; at most so many.
    """
    rows: list[dict[str, Any]] = store.rows(
        "SELECT c.credential_id, o.days FROM ("  # noqa: S608
        "SELECT organisation_id, coalesce(retention_days, %(days)s) AS days FROM organisation_status "
        "WHERE coalesce(retention_days, %(days)s) > 0) o "
        "CROSS JOIN LATERAL ("
        f"SELECT credential_id FROM credential_list WHERE organisation_id = o.organisation_id AND {_TO_ERASE} "
        "AND over_at < %(now)s - o.days * interval '1 day' ORDER BY over_at, credential_id LIMIT %(limit)s) c "
        "LIMIT %(limit)s",
        {"now": now, "days": days, "limit": limit},
    )
    return [Due(**row) for row in rows]
