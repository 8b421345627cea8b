"""Which messages to webhook endpoints are due: in each credential's order, however many wait behind another one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import tuple_row

from api.wiring import Services
from projections.webhook_delivery import (
    LOOKED_THROUGH_MAX,
    Attempt,
    DueDelivery,
    due_query,
    find_delivery,
    list_due,
    put_off,
    record_attempt,
    replay,
)
from tests import given
from tests.projections.test_credential_list_plans import nodes

AN_HOUR = timedelta(hours=1)


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


@pytest.fixture
def endpoint(services: Services, organisation: UUID) -> UUID:
    return given.a_webhook_endpoint(services, organisation)


def queue(services: Services, organisation: UUID, endpoint: UUID, credential: UUID, number: int = 1) -> list[UUID]:
    """The ids of that many deliveries about a credential, in their order."""
    with services.store.connect() as connection, connection.cursor(row_factory=tuple_row) as curs:
        curs.execute(
            "INSERT INTO webhook_delivery (organisation_id, endpoint_id, credential_id, message_id, type, body) "
            "SELECT %s, %s, %s, gen_random_uuid(), 'credential.described', '{}' FROM generate_series(1, %s) "
            "RETURNING sequence, delivery_id",
            (organisation, endpoint, credential, number),
        )
        return [delivery_id for _, delivery_id in sorted(curs)]


def due(services: Services, *sent_now: DueDelivery) -> list[DueDelivery]:
    """What would be sent now, once all is put off that waits for another one."""
    with services.store.connect() as connection:
        while put_off(connection, datetime.now(UTC), sent_now):
            pass
        return list_due(connection, datetime.now(UTC), sent_now=sent_now, each=2, limit=32)


def sequence_of(services: Services, endpoint: UUID, delivery_id: UUID) -> int:
    found = find_delivery(services.store, endpoint, delivery_id)
    assert found is not None
    sequence: int = found["sequence"]
    return sequence


def end(services: Services, one: DueDelivery, status: int, again_in: timedelta | None = None) -> None:
    """An attempt that was answered like this, and is made again after that time."""
    now = datetime.now(UTC)
    record_attempt(services.store, one, Attempt(now, 5, status), None if again_in is None else now + again_in)


@pytest.mark.parametrize("status", [204, 500])
def test_what_waited_for_a_message_is_due_as_soon_as_that_one_was_taken_or_given_up(
    services: Services, organisation: UUID, endpoint: UUID, status: int
) -> None:
    first, second = queue(services, organisation, endpoint, uuid4(), 2)
    (one,) = due(services)
    end(services, one, 500, AN_HOUR)
    assert due(services) == []
    waiting = find_delivery(services.store, endpoint, second)
    assert waiting is not None
    assert waiting["next_attempt_at"] > datetime.now(UTC) + AN_HOUR / 2

    assert replay(services.store, endpoint, first)
    (again,) = due(services)
    assert again.sequence == one.sequence
    end(services, again, status)

    assert [d.sequence for d in due(services)] == [sequence_of(services, endpoint, second)]


@pytest.mark.parametrize("status", [204, 500])
def test_what_another_process_sent_to_its_end_is_not_begun_again_by_a_late_failure(
    services: Services, organisation: UUID, endpoint: UUID, status: int
) -> None:
    """A process lost its connection while the message was on its way, and another one leads: it took over."""
    first, second = queue(services, organisation, endpoint, uuid4(), 2)
    (one,) = due(services)
    end(services, one, status)
    (after,) = due(services)
    assert after.sequence == sequence_of(services, endpoint, second)
    end(services, after, 204)

    end(services, one, 500, AN_HOUR)

    found = find_delivery(services.store, endpoint, first)
    assert found is not None
    assert (found["finished_at"] is not None, found["delivered"]) == (True, status == 204)
    assert (found["attempts"], [attempt["status"] for attempt in found["log"]]) == (2, [status, 500])
    with services.store.connect() as connection:
        assert list_due(connection, datetime.now(UTC) + 2 * AN_HOUR, each=2, limit=32) == []


def test_however_many_messages_wait_for_one_that_failed_another_credentials_is_sent(
    services: Services, organisation: UUID, endpoint: UUID
) -> None:
    failing, another = uuid4(), uuid4()
    queue(services, organisation, endpoint, failing, LOOKED_THROUGH_MAX + 2)
    (one,) = due(services)
    (theirs,) = queue(services, organisation, endpoint, another)
    assert due(services, one) == []  # it is on its way, and they were first

    end(services, one, 500, AN_HOUR)

    assert [d.sequence for d in due(services)] == [sequence_of(services, endpoint, theirs)]


def rows_read(connection: psycopg.Connection[Any]) -> float:
    """How many rows and entries of deliveries a look for what is due reads."""
    query, parameters = due_query(datetime.now(UTC), [], [], 2, 32)
    row: Any = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {query}", parameters, prepare=False).fetchone()
    read: float = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(row[0][0]["Plan"])
        if node.get("Relation Name") == "webhook_delivery"
    )
    return read


def test_a_look_reads_little_of_what_waits_at_an_endpoint_that_is_down(
    services: Services, organisation: UUID, endpoint: UUID
) -> None:
    queue(services, organisation, endpoint, uuid4(), 2_000)
    with services.store.connect() as connection:
        # What PostgreSQL knows of the table is of yesterday, when all was about one credential.
        connection.execute("ANALYZE webhook_delivery")
        connection.execute("DELETE FROM webhook_delivery")
        for later in (AN_HOUR, timedelta(0)):  # each of many credentials has a message that failed, and one after it
            connection.execute(
                "INSERT INTO webhook_delivery "
                "(organisation_id, endpoint_id, credential_id, message_id, type, body, next_attempt_at) "
                "SELECT %s, %s, md5(n::text)::uuid, gen_random_uuid(), 'credential.described', '{}', now() + %s "
                "FROM generate_series(1, 2000) n",
                (organisation, endpoint, later),
            )

        assert rows_read(connection) <= 2 * LOOKED_THROUGH_MAX
        assert put_off(connection, datetime.now(UTC)) == LOOKED_THROUGH_MAX
        assert put_off(connection, datetime.now(UTC)) == 2_000 - LOOKED_THROUGH_MAX
        assert put_off(connection, datetime.now(UTC)) == 0
        assert rows_read(connection) == 0


def test_what_is_left_to_send_at_many_endpoints_is_not_looked_through_for_what_waits(
    services: Services, organisation: UUID
) -> None:
    endpoints = [given.a_webhook_endpoint(services, organisation) for _ in range(20)]
    with services.store.connect() as connection:
        connection.execute(
            "INSERT INTO webhook_delivery (organisation_id, endpoint_id, credential_id, message_id, type, body) "
            "SELECT %s, e.id, gen_random_uuid(), gen_random_uuid(), 'credential.described', '{}' "
            "FROM unnest(%s::uuid[]) AS e (id), generate_series(1, 2000)",
            (organisation, endpoints),
        )

        # Within the time that a statement may take, which reading all of it would not keep.
        assert put_off(connection, datetime.now(UTC)) == 0
        assert len(list_due(connection, datetime.now(UTC), each=2, limit=100)) == 40
