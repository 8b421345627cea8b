"""What is kept for a while goes when the while is over."""

import time
from uuid import uuid4

import pytest

from api.wiring import Services
from ledger.store import housekeeping
from ledger.store.housekeeping import keep_house
from projections.oauth import is_new_assertion, revoke_token


def remember(services: Services, key: str, age: str) -> None:
    services.store.rows(
        "INSERT INTO ledger_idempotency (actor, key, fingerprint, aggregate_id, answer, created_at) "
        "VALUES ('a', %s, '', %s, 'sealed', now() - %s::interval) RETURNING 1",
        (key, uuid4(), age),
    )


def kept(services: Services) -> dict[str, bool]:
    return {
        row["key"]: row["answered"]
        for row in services.store.rows("SELECT key, answer IS NOT NULL AS answered FROM ledger_idempotency")
    }


def test_answers_go_after_ten_minutes_and_keys_after_a_day(services: Services) -> None:
    for key, age in (("new", "9 minutes"), ("old", "11 minutes"), ("older", "25 hours")):
        remember(services, key, age)
    assert keep_house(services.store) == (2, 1, 0, 0)
    assert kept(services) == {"new": True, "old": False}
    assert keep_house(services.store) == (0, 0, 0, 0)


def test_much_is_removed_in_bounded_batches(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.store.rows(
        "INSERT INTO ledger_idempotency SELECT 'a', n::text, '', gen_random_uuid(), 'x', now() - interval '2 days' "
        "FROM generate_series(1, 2500) n RETURNING 1"
    )
    monkeypatch.setattr(housekeeping, "BATCHES_MAX", 2)
    assert keep_house(services.store) == (2000, 2000, 0, 0)
    assert keep_house(services.store) == (0, 500, 0, 0)  # the keys that went had the answers that were left


def test_tokens_and_assertions_are_forgotten_once_they_expired(services: Services) -> None:
    now = time.time()
    for name, expires in (("old", now - 1), ("new", now + 60)):
        revoke_token(services.store, name, expires)
        assert is_new_assertion(services.store, name, expires)
    assert keep_house(services.store) == (0, 0, 1, 1)
    assert not is_new_assertion(services.store, "new", now + 60)
    assert services.store.rows("SELECT jti FROM revoked_token") == [{"jti": "new"}]
