"""What things are called, by their ids: for lists of what happened, whose events tell ids alone."""

from collections.abc import Iterable
from uuid import UUID

from ledger.store.datastore import LedgerDatastore

# An id stands for one thing, of whichever kind.
_NAMES = (
    "SELECT credential_id AS id, coalesce(nullif(name, ''), public_id) AS name FROM credential_status "
    "WHERE credential_id = ANY(%(ids)s) "
    "UNION ALL SELECT application_id, title FROM application_status WHERE application_id = ANY(%(ids)s) "
    "UNION ALL SELECT account_id, name FROM account_status WHERE account_id = ANY(%(ids)s) "
    "UNION ALL SELECT operator_id, name FROM operator_status WHERE operator_id = ANY(%(ids)s) "
    "UNION ALL SELECT organisation_id, name FROM organisation_status WHERE organisation_id = ANY(%(ids)s) "
    "UNION ALL SELECT endpoint_id, url FROM webhook_endpoint_status WHERE endpoint_id = ANY(%(ids)s)"
)


def names_of_things(store: LedgerDatastore, ids: Iterable[UUID]) -> dict[UUID, str]:
    """The names of credentials, applications, accounts, operators, organisations and webhook endpoints, in one query.

    Empty for what was erased and had no other name.
    """
    return {row["id"]: row["name"] for row in store.rows(_NAMES, {"ids": list(set(ids))})}
