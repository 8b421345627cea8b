"""How many credentials each report holds, counted in the background."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.commands import SuspendCredential
from ledger.errors import StoreUnavailable
from projections import reports
from projections.reports import REPORTS, ReportCounter, report_counts
from projections.runner import advisory_key
from projections.usage import UsageRecorder
from tests import given
from tests.projections.keeping_up import catch_up
from tests.waiting import until

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
HOUR = 3600.0


def make(services: Services, organisation: UUID, days: int, **changes: Any) -> UUID:
    """A credential of some days ago."""
    return given.a_credential(services, organisation, context=given.context(NOW - days * DAY), **changes)[0].id


@pytest.fixture
def filled(services: Services) -> Services:
    """Two organisations with the same credentials, some in each report."""
    for name in ("Acme", "Globex"):
        organisation = given.an_organisation(services, name)
        make(services, organisation, 0)
        make(services, organisation, 80)
        make(services, organisation, 95)
        make(services, organisation, 1, expires_at=NOW + 20 * DAY)
        make(services, organisation, 1, contact_email=None)
        suspended = make(services, organisation, 101)
        services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended))
        usage = UsageRecorder(services.store, 60)
        usage.note(make(services, organisation, 100), 1, NOW - DAY)
        usage.flush()
    catch_up(services)
    return services


def counter(services: Services, interval: float = HOUR) -> ReportCounter:
    return ReportCounter(services.store, services.settings.rotation_days, interval)


def counted(services: Services) -> dict[str, int]:
    return {row["report"]: row["credentials"] for row in report_counts(services.store)}


def test_every_report_is_counted_over_all_organisations(filled: Services) -> None:
    assert counted(filled) == {}

    assert counter(filled).count() == set(REPORTS)

    assert counted(filled) == {"overdue": 4, "due": 6, "unused": 4, "expiring": 2, "without_owner": 2}
    for row in report_counts(filled.store):
        assert abs(row["counted_at"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_within_an_interval_nothing_is_counted_again_and_after_it_everything_is(filled: Services) -> None:
    first = counter(filled).count()

    assert counter(filled).count() == set()
    time.sleep(0.01)
    assert counter(filled, interval=0.001).count() == first


def test_of_several_processes_one_counts(filled: Services) -> None:
    with filled.store.connect() as another:
        another.execute("SELECT pg_advisory_lock(%s)", (advisory_key(filled.store.schema, "reports"),))
        assert counter(filled).count() == set()
    assert counted(filled) == {}


def test_a_count_that_takes_too_long_leaves_the_one_of_before(
    filled: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter(filled).count()
    before = report_counts(filled.store)
    monkeypatch.setattr(reports, "COUNT_SECONDS_MAX", 0.2)

    with filled.store.connect() as another, another.transaction():
        another.execute("LOCK TABLE credential_list IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable):
            counter(filled, interval=0.001).count()

    assert report_counts(filled.store) == before


def test_the_thread_counts_at_once_and_again_after_each_interval(filled: Services) -> None:
    running = counter(filled, interval=0.05)
    running.start()
    try:
        until(lambda: len(counted(filled)) == len(REPORTS))
        first = report_counts(filled.store)[0]["counted_at"]
        until(lambda: report_counts(filled.store)[0]["counted_at"] != first)
    finally:
        running.stop()
