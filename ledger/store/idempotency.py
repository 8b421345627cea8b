"""What is remembered of requests under their Idempotency-Key, and giving a retry its answer again.

The key is remembered for a day, the sealed answer, which may hold a secret, for ten minutes.
"""

import hmac
from datetime import timedelta

from ledger.errors import IdempotencyAnswerExpired, IdempotencyKeyReused
from ledger.store.log import EventLog

ANSWER_LIVES = timedelta(minutes=10)  # longer than any client retries, short enough for a secret to lie around sealed
KEY_LIVES = timedelta(days=1)


def find_answer(log: EventLog, actor: str, key: str, fingerprint: bytes) -> bytes | None:
    """The answer that the first request under this key got; None where there was none.

    Raises `IdempotencyKeyReused` where that was another request and `IdempotencyAnswerExpired` where its answer is no
    longer kept.
    """
    row = log.datastore.row(
        "SELECT fingerprint, aggregate_id, CASE WHEN created_at > now() - %s THEN answer END AS answer "
        "FROM ledger_idempotency WHERE actor = %s AND key = %s AND created_at > now() - %s",
        (ANSWER_LIVES, actor, key, KEY_LIVES),
    )
    if row is None:
        return None
    if not hmac.compare_digest(bytes(row["fingerprint"]), fingerprint):
        raise IdempotencyKeyReused("this Idempotency-Key was used with another request")
    if row["answer"] is None:
        raise IdempotencyAnswerExpired(
            f"the request was carried out on {row['aggregate_id']}; its answer is no longer kept"
        )
    return log.keyring.unseal_answer(bytes(row["answer"]), f"{actor}\n{key}".encode())
