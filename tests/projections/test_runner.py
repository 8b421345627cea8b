"""The projector: every event once, whatever happens to it, its connections or its notifications."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.events import CredentialRevoked, Recorded
from ledger.store.recorder import Row
from projections import ASYNCHRONOUS, activity, credential_list
from projections.runner import Fenced, Projector, apply_batch, begin_tracking, lag, wait_for
from projections.view import View
from tests import given
from tests.conftest import OpenServices
from tests.waiting import SECONDS_MAX, until


@contextmanager
def projecting(services: Services, views: tuple[View, ...] = ASYNCHRONOUS) -> Iterator[Projector]:
    projector = Projector(services.log, views)
    projector.start()
    try:
        yield projector
    finally:
        projector.stop()


def names(services: Services) -> list[str]:
    return [row["name"] for row in services.store.rows("SELECT name FROM credential_list ORDER BY name")]


def test_a_projector_follows_the_log_and_advances_over_events_it_ignores(services: Services) -> None:
    organisation = given.an_organisation(services)
    with projecting(services):
        receipt, _ = given.a_credential(services, organisation)
        assert wait_for(services.store, None, receipt.position, timeout=SECONDS_MAX)
        assert names(services) == ["Billing export"]

        operator_id, _ = given.an_operator(services)
        head = services.log.head()
        assert services.log.history(operator_id).recorded[-1].position == head
        assert wait_for(services.store, None, head, timeout=SECONDS_MAX)
        assert all(one.position == one.head and one.seconds_behind == 0 for one in lag(services.store).values())


def test_waiting_for_a_position_that_does_not_come_ends_in_time(services: Services) -> None:
    started = time.monotonic()
    assert not wait_for(services.store, "activity", 1, timeout=0.2)
    assert time.monotonic() - started < 5


def test_a_projector_that_was_told_to_stop_before_it_began_ends(services: Services) -> None:
    projector = Projector(services.log)
    projector.stop()
    running = threading.Thread(target=projector.run, daemon=True)
    running.start()
    running.join(SECONDS_MAX)
    assert not running.is_alive()


def test_two_projectors_never_apply_an_event_twice(services: Services, open_another: OpenServices) -> None:
    applied: list[int] = []

    def row_of(recorded: Recorded) -> Row:
        applied.append(recorded.position)
        return activity.row_of(recorded)

    counting = replace(activity.VIEW, row_of=row_of)
    organisation = given.an_organisation(services)
    with projecting(services, (counting,)) as first, projecting(open_another(), (counting,)):
        for number in range(30):
            given.a_credential(services, organisation)
            if number == 15:
                first.stop()  # the other takes over
        assert wait_for(services.store, "activity", services.log.head(), timeout=SECONDS_MAX)
    assert applied == list(range(1, services.log.head() + 1))


def test_a_projector_that_lost_its_lead_unknowingly_writes_nothing(services: Services) -> None:
    given.an_organisation(services)
    with services.store.connect() as usurper, services.store.connect() as connection:
        begin_tracking(connection, "activity")

        def overtaken(recorded: Recorded) -> Row:
            # In the leader's own transaction, as nobody else gets past the lock on the position.
            connection.execute("UPDATE projection_tracking SET position = 99 WHERE name = 'activity'")
            return activity.row_of(recorded)

        with pytest.raises(Fenced):
            apply_batch(services.log, connection, replace(activity.VIEW, row_of=overtaken), 10)
        assert usurper.execute("SELECT count(*) FROM activity").fetchone() == (0,)
        assert usurper.execute("SELECT position FROM projection_tracking").fetchone() == (0,)


def test_a_projector_survives_the_end_of_its_connections(services: Services, postgres: str) -> None:
    organisation = given.an_organisation(services)
    with projecting(services):
        for _ in range(3):
            receipt, _ = given.a_credential(services, organisation)
            assert wait_for(services.store, None, receipt.position, timeout=SECONDS_MAX)
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) "
                    "WHERE locktype = 'advisory' AND application_name = 'keyledger'"
                )
        assert len(names(services)) == 3


def test_a_lost_notification_delays_and_does_not_lose(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = given.an_organisation(services)
    # The projector listens where nobody speaks: polling alone has to do.
    monkeypatch.setattr(type(services.log.recorder), "notify_channel", "silence")
    with projecting(services):
        receipt, _ = given.a_credential(services, organisation)
        assert wait_for(services.store, None, receipt.position, timeout=SECONDS_MAX)


def test_a_poison_event_stops_its_view_alone_and_shows_as_lag_and_in_the_log(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    organisation = given.an_organisation(services)
    receipts = [given.a_credential(services, organisation)[0] for _ in range(5)]
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipts[2].id))
    last, _ = given.a_credential(services, organisation)
    cured = False

    def evolve(state: Any, recorded: Recorded) -> Any:
        if isinstance(recorded.event, CredentialRevoked) and not cured:
            raise ValueError("poison")
        return credential_list.VIEW.evolve(state, recorded)

    poisoned = replace(credential_list.VIEW, evolve=evolve)
    with caplog.at_level(logging.ERROR, "keyledger.projector"), projecting(services, (poisoned, activity.VIEW)):
        assert wait_for(services.store, "activity", last.position, timeout=SECONDS_MAX)
        assert wait_for(services.store, "credential_list", receipts[4].position, timeout=SECONDS_MAX)
        behind = lag(services.store)["credential_list"]
        assert (behind.position, behind.head) == (receipts[4].position, last.position)
        assert behind.seconds_behind > 0
        assert lag(services.store)["activity"].seconds_behind == 0
        assert "credential_list" in caplog.text
        # The view leads anew from where it stopped, and tells that it can't go on a moment later.
        until(lambda: f"events {receipts[4].position + 1} to " in caplog.text)
        cured = True
        assert wait_for(services.store, "credential_list", last.position, timeout=30)
