"""What OAuth 2 must remember that is not in the log: tokens that were revoked, and assertions that were used.

Each is kept until it would have expired, when it is refused for that (`ledger/store/housekeeping.py`).
"""

from ledger.store.datastore import LedgerDatastore


def revoke_token(store: LedgerDatastore, jti: str, expires: float) -> None:
    """Refuse the token from now on. `expires` is in Unix time."""
    store.rows(
        "INSERT INTO revoked_token (jti, expires_at) VALUES (%s, to_timestamp(%s)) "
        "ON CONFLICT DO NOTHING RETURNING jti",
        (jti, expires),
    )


def is_new_assertion(store: LedgerDatastore, digest: str, expires: float) -> bool:
    """Whether nobody presented it before; of two at once one is the first. `expires` is in Unix time."""
    return bool(
        store.rows(
            "INSERT INTO used_assertion (digest, expires_at) VALUES (%s, to_timestamp(%s)) "
            "ON CONFLICT DO NOTHING RETURNING digest",
            (digest, expires),
        )
    )
