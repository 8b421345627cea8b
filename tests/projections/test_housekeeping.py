"""What is kept for a while goes when the while is over."""

import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from uuid import uuid4

import pytest

from api.wiring import Services
from ledger.store import housekeeping
from ledger.store.housekeeping import Removed, keep_house
from projections.insights import verifications_by_code
from projections.oauth import is_new_assertion, revoke_token
from projections.readings import Reading, ReadingRecorder, Shown, list_readings
from projections.usage import UsageRecorder, find_usage
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
    assert keep_house(services.store, 90, 365) == Removed(answers=2, keys=1)
    assert kept(services) == {"new": True, "old": False}
    assert keep_house(services.store, 90, 365) == Removed()


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

    assert keep_house(services.store, 90, 365) == Removed(deliveries=1)
    left = services.store.row(
        "SELECT (SELECT count(*) FROM webhook_delivery) AS d, (SELECT count(*) FROM webhook_attempt) AS a"
    )
    assert left == {"d": 1, "a": 1}


@pytest.mark.usefixtures("within_a_day")
def test_addresses_and_counts_go_after_as_many_days_as_the_setting_says(services: Services) -> None:
    organisation = given.an_organisation(services)
    credential = given.a_credential(services, organisation)[0].id
    usage, today = UsageRecorder(services.store, 60), datetime.now(UTC)
    for days in (9, 10, 11, 12):
        usage.note(credential, days, today - timedelta(days=days), ip_address("192.0.2.7"))
    usage.flush()
    assert keep_house(services.store, 10, 365) == Removed(addresses=2, counts=4)
    left = find_usage(services.store, credential)
    assert [row["version"] for row in left.addresses] == [9, 10]
    assert verifications_by_code(services.store, organisation, today) == {"VALID": 2}
    assert [row["day"] for row in left.days] == [(today - timedelta(days=days)).date() for days in (9, 10)]


def test_much_is_removed_in_bounded_batches(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.store.rows(
        "INSERT INTO ledger_idempotency SELECT 'a', n::text, '', gen_random_uuid(), 'x', now() - interval '2 days' "
        "FROM generate_series(1, 2500) n RETURNING 1"
    )
    monkeypatch.setattr(housekeeping, "BATCHES_MAX", 2)
    assert keep_house(services.store, 90, 365) == Removed(answers=2000, keys=2000)
    assert keep_house(services.store, 90, 365) == Removed(keys=500)  # the keys that went had the answers that were left


def test_tokens_and_assertions_are_forgotten_once_they_expired_by_every_clock(services: Services) -> None:
    now = time.time()
    for name, expires in (("old", now - 310), ("recent", now - 240), ("new", now + 60)):
        revoke_token(services.store, name, expires, services.log.recorder.notify_channel)
        assert is_new_assertion(services.store, name, expires)
    assert keep_house(services.store, 90, 365) == Removed(revoked_tokens=1, assertions=1)
    assert not is_new_assertion(services.store, "recent", now - 240)
    assert not is_new_assertion(services.store, "new", now + 60)
    assert services.store.rows("SELECT jti FROM revoked_token ORDER BY jti") == [{"jti": "new"}, {"jti": "recent"}]


def test_readings_go_after_as_many_days_as_the_setting_says(services: Services) -> None:
    recorder = ReadingRecorder(services.store, 60)
    for days in (29, 31):
        at = datetime.now(UTC) - timedelta(days=days)
        recorder.note(Reading(None, None, at, f"operator:{days}", ["auditor"], "api", [Shown.HINT], "/", "", ""))
    recorder.flush()
    assert keep_house(services.store, 90, 30) == Removed(readings=1)
    assert [row["actor"] for row in list_readings(services.store, None).rows] == ["operator:29"]
