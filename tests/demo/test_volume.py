"""Credentials by the thousand: as many as were asked for, in the order of time, the same lives for the same seed."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.demo import volume
from api.wiring import Services

NOW = datetime(2026, 5, 29, 9, 30, tzinfo=UTC)
LIVES = (
    "SELECT kind, environment, created_at, revoked_at, suspended_at, expires_at, name, contact_email "
    "FROM credential_status WHERE organisation_id = %s ORDER BY created_at"
)


def fill(services: Services, count: int, seed: int = 1) -> tuple[Any, volume.Filled, list[tuple[int, int]]]:
    shown: list[tuple[int, int]] = []
    organisation = volume.register(services, "Longtail", now=NOW, seed=seed)
    filled = volume.fill(
        services, organisation, count, now=NOW, seed=seed, progress=lambda done, of: shown.append((done, of))
    )
    return organisation, filled, shown


def test_it_records_as_many_as_were_asked_for_and_says_how_far_it_is(services: Services) -> None:
    _, filled, shown = fill(services, 1_500)
    assert filled.credentials == 1_500
    assert filled.events == services.log.head() - 1  # but for the organisation's own
    assert shown[-1] == (1_500, 1_500)
    assert shown == sorted(shown)
    assert len(shown) > 1


def test_it_records_in_the_order_of_time_over_one_year(services: Services) -> None:
    fill(services, 300)
    moments = [recorded.event.context.at for recorded in services.log.read(0, 10_000)]
    assert moments == sorted(moments)
    assert NOW - timedelta(days=366) == moments[0]
    assert moments[-1] <= NOW


def test_the_same_seed_draws_the_same_lives(services: Services) -> None:
    lives = [services.store.rows(LIVES, (fill(services, 100, seed)[0],)) for seed in (5, 5, 6)]
    assert lives[0] == lives[1]
    assert lives[1] != lives[2]


def test_some_are_revoked_suspended_restricted_expired_unused_and_without_owner(services: Services) -> None:
    fill(services, 600)
    row = services.store.row(
        "SELECT count(revoked_at) AS revoked, count(suspended_at) AS suspended, count(rotated_at) AS rotated, "
        "count(*) FILTER (WHERE cardinality(allowlist) > 0) AS restricted, "
        "count(*) FILTER (WHERE expires_at < %s) AS expired, "
        "count(*) FILTER (WHERE coalesce(contact_email, '') = '') AS unowned, "
        "count(*) - (SELECT count(DISTINCT credential_id) FROM secret_usage) AS unused FROM credential_status",
        (NOW,),
    )
    assert row is not None
    assert all(row.values()), row
