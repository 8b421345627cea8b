"""What is kept for a while goes when the while is over."""

from uuid import uuid4

import pytest

from api.wiring import Services
from ledger.store import housekeeping
from ledger.store.housekeeping import keep_house
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
    assert keep_house(services.store) == (2, 1, 0)
    assert kept(services) == {"new": True, "old": False}
    assert keep_house(services.store) == (0, 0, 0)


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

    assert keep_house(services.store) == (0, 0, 1)
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
    assert keep_house(services.store) == (2000, 2000, 0)
    assert keep_house(services.store) == (0, 500, 0)  # the keys that went had the answers that were left
