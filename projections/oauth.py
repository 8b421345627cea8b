"""What OAuth 2 must remember that is not in the log: tokens that were revoked, and assertions that were used.

Each is kept until it would have expired by every clock, when it is refused for that (`ledger/store/housekeeping.py`).
"""

from typing import Any

import psycopg

from ledger.store.datastore import LedgerDatastore


def revoke_token(store: LedgerDatastore, jti: str, expires: float, notify_channel: str) -> None:
    """Refuse the token from now on, and tell whoever keeps answers in memory. `expires` is in Unix time."""
    store.rows(
        "WITH revoked AS (INSERT INTO revoked_token (jti, expires_at) VALUES (%s, to_timestamp(%s)) "
        "ON CONFLICT DO NOTHING RETURNING jti) SELECT pg_notify(%s, '') FROM revoked",
        (jti, expires, notify_channel),
    )


def list_revoked_tokens(connection: psycopg.Connection[Any], limit: int) -> list[str]:
    """The tokens that were revoked and would otherwise be good, or were until some minutes ago; at most so many."""
    rows = connection.execute("SELECT jti FROM revoked_token LIMIT %s", (limit,))
    return [jti for (jti,) in rows]


def is_new_assertion(store: LedgerDatastore, digest: str, expires: float) -> bool:
    """Whether nobody presented it before; of two at once one is the first. `expires` is in Unix time."""
    return bool(
        store.rows(
            "INSERT INTO used_assertion (digest, expires_at) VALUES (%s, to_timestamp(%s)) "
            "ON CONFLICT DO NOTHING RETURNING digest",
            (digest, expires),
        )
    )
