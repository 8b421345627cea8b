"""What is kept for a while, removed when that is over. Run once a minute; running it twice at once does no more."""

from collections.abc import Mapping
from typing import NamedTuple

from ledger.store.datastore import LedgerDatastore

HOUSEKEEPING_SECONDS = 60.0
ANSWER_MINUTES = 10  # how long a retried command gets its answer again, secret included
KEY_HOURS = 24  # how long a retried command is recognised at all
# By how much PostgreSQL's clock may be ahead of whoever refuses tokens and assertions for their age: what is forgotten
# before that would be good again.
CLOCK_MINUTES = 5
DELIVERY_DAYS = 30  # a webhook that failed can be looked into, and sent again, a month later
BATCH_ROWS = 1_000  # a transaction of milliseconds, so nobody waits for its locks
BATCHES_MAX = 200  # what a minute at full load leaves; the rest is for the next run

_FORGET_ANSWERS = f"""
UPDATE ledger_idempotency SET answer = NULL WHERE (actor, key) IN (
    SELECT actor, key FROM ledger_idempotency
    WHERE answer IS NOT NULL AND created_at < now() - interval '{ANSWER_MINUTES} minutes'
    ORDER BY created_at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
_FORGET_KEYS = f"""
DELETE FROM ledger_idempotency WHERE (actor, key) IN (
    SELECT actor, key FROM ledger_idempotency WHERE created_at < now() - interval '{KEY_HOURS} hours'
    ORDER BY created_at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
# A token that expired is refused for that, and so is an assertion: nobody asks any more whether it was seen before.
_FORGET_TOKENS = f"""
DELETE FROM revoked_token WHERE jti IN (
    SELECT jti FROM revoked_token WHERE expires_at < now() - interval '{CLOCK_MINUTES} minutes'
    ORDER BY expires_at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
_FORGET_ASSERTIONS = f"""
DELETE FROM used_assertion WHERE digest IN (
    SELECT digest FROM used_assertion WHERE expires_at < now() - interval '{CLOCK_MINUTES} minutes'
    ORDER BY expires_at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
_FORGET_SESSIONS = f"""
DELETE FROM console_session WHERE digest IN (
    SELECT digest FROM console_session WHERE expires_at < now()
    ORDER BY expires_at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours


_FORGET_DELIVERIES = f"""
DELETE FROM webhook_delivery WHERE sequence IN (
    SELECT sequence FROM webhook_delivery WHERE queued_at < now() - interval '{DELIVERY_DAYS} days'
    ORDER BY queued_at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
_FORGET_ADDRESSES = f"""
DELETE FROM address_usage WHERE (credential_id, version, address) IN (
    SELECT credential_id, version, address FROM address_usage WHERE last_used_on < current_date - %(days)s
    ORDER BY last_used_on LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
_FORGET_COUNTS = f"""
DELETE FROM verification_count WHERE (credential_id, day, code) IN (
    SELECT credential_id, day, code FROM verification_count WHERE day < current_date - %(days)s
    ORDER BY day LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours
_FORGET_SUMS = f"""
DELETE FROM organisation_verification_count WHERE (organisation_id, day, code) IN (
    SELECT organisation_id, day, code FROM organisation_verification_count WHERE day < current_date - %(days)s
    ORDER BY day LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours


_FORGET_READINGS = f"""
DELETE FROM reading WHERE reading_id IN (
    SELECT reading_id FROM reading WHERE at < now() - %(days)s * interval '1 day'
    ORDER BY at LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED)
RETURNING 1
"""  # noqa: S608 - constants of ours


class Removed(NamedTuple):
    """How many of each were removed."""

    answers: int = 0
    keys: int = 0
    deliveries: int = 0
    revoked_tokens: int = 0
    assertions: int = 0
    sessions: int = 0
    addresses: int = 0
    counts: int = 0
    """Of credentials' and of organisations' alike."""
    readings: int = 0


def keep_house(store: LedgerDatastore, usage_days: int, reading_days: int) -> Removed:
    """Remove kept answers after ten minutes, Idempotency-Keys after a day, webhook deliveries after a month, of OAuth's
    tokens and the console's sessions what expired, and after so many days the addresses and counts of usage, and who
    read what.
    """
    usage = {"days": usage_days}
    return Removed(
        _repeat(store, _FORGET_ANSWERS),
        _repeat(store, _FORGET_KEYS),
        _repeat(store, _FORGET_DELIVERIES),
        _repeat(store, _FORGET_TOKENS),
        _repeat(store, _FORGET_ASSERTIONS),
        _repeat(store, _FORGET_SESSIONS),
        _repeat(store, _FORGET_ADDRESSES, usage),
        _repeat(store, _FORGET_COUNTS, usage) + _repeat(store, _FORGET_SUMS, usage),
        _repeat(store, _FORGET_READINGS, {"days": reading_days}),
    )


def _repeat(store: LedgerDatastore, statement: str, params: Mapping[str, int] | None = None) -> int:
    done = 0
    for _ in range(BATCHES_MAX):
        changed = len(store.rows(statement, params or ()))
        done += changed
        if changed < BATCH_ROWS:
            break
    return done
