"""What is remembered of requests under their Idempotency-Key, and giving a retry its answer again.

The sealed answer, which may hold a secret, is given for ten minutes. The key is remembered for a day at least: a row is
good until housekeeping removes it, so that a key is never unknown here and taken in the recorder.
"""

import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from ledger.errors import IdempotencyAnswerExpired, IdempotencyKeyReused
from ledger.store.housekeeping import ANSWER_MINUTES
from ledger.store.log import EventLog

# Longer than any client retries, short enough for a secret to lie around sealed.
ANSWER_LIVES = timedelta(minutes=ANSWER_MINUTES)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What the first request was answered, and what it was about."""

    answer: bytes = field(repr=False)
    aggregate_id: UUID


def find_answer(log: EventLog, actor: str, key: str, fingerprint: bytes) -> KeptAnswer | None:
    """The answer that the first request under this key got; None where there was none.

    Raises `IdempotencyKeyReused` where that was another request and `IdempotencyAnswerExpired` where its answer is no
    longer kept.
    """
    row = log.datastore.row(
        "SELECT fingerprint, aggregate_id, CASE WHEN created_at > now() - %s THEN answer END AS answer "
        "FROM ledger_idempotency WHERE actor = %s AND key = %s",
        (ANSWER_LIVES, actor, key),
    )
    if row is None:
        return None
    kept = bytes(row["fingerprint"])
    if not any(hmac.compare_digest(kept, each) for each in log.keyring.fingerprints(fingerprint)):
        raise IdempotencyKeyReused("this Idempotency-Key was used with another request")
    if row["answer"] is None:
        raise IdempotencyAnswerExpired(row["aggregate_id"])
    answer = log.keyring.unseal_answer(bytes(row["answer"]), f"{actor}\n{key}".encode())
    return KeptAnswer(answer, row["aggregate_id"])


def forget_answer(log: EventLog, actor: str, key: str) -> None:
    """Give the answer under this key no more, before its time is over: whoever got it says that it is stored."""
    log.datastore.rows(
        "UPDATE ledger_idempotency SET answer = NULL WHERE actor = %s AND key = %s RETURNING 1", (actor, key)
    )


def position_of(log: EventLog, aggregate_id: UUID, version: int) -> int:
    """Where an aggregate's version stands in the log. It must be there: a kept answer was recorded with it."""
    row = log.datastore.row(
        "SELECT notification_id AS position FROM ledger_events WHERE originator_id = %s AND originator_version = %s",
        (aggregate_id, version),
    )
    if row is None:
        raise LookupError(f"the log holds no version {version} of {aggregate_id}")
    return int(row["position"])
