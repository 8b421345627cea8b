"""What is kept for a while goes when the while is over."""

import time
from uuid import uuid4

import pytest

from api.wiring import Services
from ledger.store import housekeeping
from ledger.store.housekeeping import Removed, keep_house
from projections.oauth import is_new_assertion, revoke_token
from tests import given


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
    assert keep_house(services.store) == Removed(answers=2, keys=1)
    assert kept(services) == {"new": True, "old": False}
    assert keep_house(services.store) == Removed()


def test_webhook_deliveries_go_after_a_month_with_their_attempts(services: Services) -> None:
    organisation = given.an_organisation(services)
    for age in ("29 days", "31 days"):
        delivery = given.a_webhook_delivery(services, organisation, uuid4(), uuid4())
        services.store.rows(
            "WITH d AS (UPDATE webhook_delivery SET queued_at = now() - %s::interval WHERE delivery_id = %s "
            "RETURNING sequence) INSERT INTO webhook_attempt SELECT sequence, 1, now(), 1, 500, '', '' FROM d "
            "RETURNING 1",
            (age, delivery),
        )

    assert keep_house(services.store) == Removed(deliveries=1)
    left = services.store.row(
        "SELECT (SELECT count(*) FROM webhook_delivery) AS d, (SELECT count(*) FROM webhook_attempt) AS a"
    )
    assert left == {"d": 1, "a": 1}


def test_much_is_removed_in_bounded_batches(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.store.rows(
        "INSERT INTO ledger_idempotency SELECT 'a', n::text, '', gen_random_uuid(), 'x', now() - interval '2 days' "
        "FROM generate_series(1, 2500) n RETURNING 1"
    )
    monkeypatch.setattr(housekeeping, "BATCHES_MAX", 2)
    assert keep_house(services.store) == Removed(answers=2000, keys=2000)
    assert keep_house(services.store) == Removed(keys=500)  # the keys that went had the answers that were left


def test_tokens_and_assertions_are_forgotten_once_they_expired(services: Services) -> None:
    now = time.time()
    for name, expires in (("old", now - 1), ("new", now + 60)):
        revoke_token(services.store, name, expires)
        assert is_new_assertion(services.store, name, expires)
    assert keep_house(services.store) == Removed(revoked_tokens=1, assertions=1)
    assert not is_new_assertion(services.store, "new", now + 60)
    assert services.store.rows("SELECT jti FROM revoked_token") == [{"jti": "new"}]
