"""Who is signed in to the console. Kept in PostgreSQL, so that any worker answers and any can end a session.

Of a session's id only the digest is kept: whoever reads the table, or a backup of it, is not signed in by that. A
session is good as long as the operator's token that opened it, so it ends by itself when that token is rotated or the
operator is removed; of a rotation with an overlap it ends with the overlap. One that an identity provider opened
hangs on no token: it is good as long as its operator has a role, and short, as only then the provider is asked again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ledger.store.datastore import LedgerDatastore
from projections.operator_status import Caller

# How often in its idle time a session in use is written down as such: a session may end that much too early, and most
# pages cost no write.
TOUCHES = 10

_OPEN = """
INSERT INTO console_session (digest, operator_id, token_digest, created_at, last_seen_at, expires_at)
SELECT %(digest)s, o.operator_id, t.digest, now(), now(), now() + least(%(idle)s, %(longest)s)
FROM operator_token t JOIN operator_status o USING (operator_id)
WHERE t.digest = ANY(%(tokens)s) AND o.removed_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
RETURNING 1
"""
_OPEN_IDENTIFIED = """
INSERT INTO console_session (digest, operator_id, created_at, last_seen_at, expires_at)
SELECT %(digest)s, operator_id, now(), now(), now() + least(%(idle)s, %(identified)s)
FROM operator_status WHERE operator_id = %(operator_id)s AND issuer <> '' AND removed_at IS NULL
RETURNING 1
"""
_FIND = """
SELECT o.operator_id, o.organisation_id, o.roles, o.production, o.name, t.expires_at AS token_expires_at,
    s.token_digest IS NULL AS identified, s.last_seen_at < now() - %(idle)s / %(touches)s AS stale
FROM console_session s JOIN operator_status o ON o.operator_id = s.operator_id
LEFT JOIN operator_token t ON t.digest = s.token_digest AND t.operator_id = s.operator_id
WHERE s.digest = %(digest)s AND s.expires_at > now() AND o.removed_at IS NULL AND o.roles <> '{}'
AND (s.token_digest IS NULL OR t.digest IS NOT NULL AND (t.expires_at IS NULL OR t.expires_at > now()))
"""
_TOUCH = """
UPDATE console_session SET last_seen_at = now(), expires_at = least(
    created_at + CASE WHEN token_digest IS NULL THEN %(identified)s ELSE %(longest)s END, now() + %(idle)s)
WHERE digest = %(digest)s RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a session lives without use, and at most; `identified` at most where an identity provider opened it."""

    idle: timedelta
    longest: timedelta
    identified: timedelta


@dataclass(frozen=True, slots=True)
class Session:
    """An operator who is signed in, and the name to greet them by. `identified` where no token did it."""

    caller: Caller
    name: str
    identified: bool


def open_session(store: LedgerDatastore, digest: bytes, tokens: Sequence[str], bounds: Bounds) -> bool:
    """Open a session for the operator whose live token has one of these digests; whether there is one."""
    parameters = {"digest": digest, "tokens": list(tokens), **asdict(bounds)}
    return bool(store.rows(_OPEN, parameters))


def open_identified(store: LedgerDatastore, digest: bytes, operator_id: UUID, bounds: Bounds) -> bool:
    """Open a session for an operator whom an identity provider vouched for; False for one who was removed since."""
    return bool(store.rows(_OPEN_IDENTIFIED, {"digest": digest, "operator_id": operator_id, **asdict(bounds)}))


def find_session(store: LedgerDatastore, digest: bytes, bounds: Bounds) -> Session | None:
    """The session with this digest, if it is still good; this is a use of it."""
    parameters = {"digest": digest, "touches": TOUCHES, **asdict(bounds)}
    row = store.row(_FIND, parameters)
    if row is None:
        return None
    if row["stale"]:
        store.rows(_TOUCH, parameters)
    token_expires_at: datetime | None = row["token_expires_at"]
    caller = Caller(
        row["operator_id"], row["organisation_id"], frozenset(row["roles"]), row["production"], token_expires_at
    )
    return Session(caller, row["name"], row["identified"])


def end_session(store: LedgerDatastore, digest: bytes) -> None:
    """End a session, if there is one."""
    store.rows("DELETE FROM console_session WHERE digest = %s RETURNING 1", (digest,))
