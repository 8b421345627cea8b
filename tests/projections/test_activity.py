"""Who did what."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.commands import RevokeCredential, SetAllowlist
from ledger.errors import InvalidValue
from ledger.values import Network, RevocationReason, Via
from projections.activity import LISTED_MAX, ActivityFilters, activity_query, list_activity, shown
from tests import given
from tests.projections.keeping_up import catch_up

NOW = datetime.now(UTC)


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


def topics(services: Services, organisation: UUID | None, filters: ActivityFilters) -> list[str]:
    return [row["topic"] for row in list_activity(services.store, organisation, filters).rows]


def test_a_row_tells_who_what_when_why_and_what_changed(services: Services, organisation: UUID) -> None:
    receipt, _ = given.a_credential(services, organisation, context=given.context(NOW - timedelta(days=1)))
    revoked = services.ledger.handle(
        RevokeCredential(
            context=given.context(NOW, actor="operator:7", via=Via.API, reason="left", address="192.0.2.1"),
            credential_id=receipt.id,
            revocation_reason=RevocationReason.OWNER_LEFT,
        )
    )
    catch_up(services)
    (row,) = list_activity(services.store, organisation, ActivityFilters(actor="operator:7")).rows
    assert row == {
        "position": revoked.position,
        "organisation_id": organisation,
        "aggregate_id": receipt.id,
        "aggregate_version": 3,
        "aggregate": "credential",
        "topic": "credential.revoked",
        "at": NOW,
        "actor": "operator:7",
        "via": "api",
        "reason": "left",
        "request_id": "test",
        "address": "192.0.2.1",
        "changes": {"revocation_reason": "owner_left", "effective_at": NOW.isoformat().replace("+00:00", "Z")},
    }


def test_neither_personal_values_nor_digests_are_kept(services: Services, organisation: UUID) -> None:
    command, issued = given.a_create_command(services, organisation)
    services.ledger.handle(command)
    services.ledger.handle(
        SetAllowlist(context=given.context(), credential_id=command.credential_id, networks=(Network("192.0.2.0/24"),))
    )
    catch_up(services)
    kept = str(services.store.rows("SELECT * FROM activity"))
    for secret in ("dev@example.com", "192.0.2.0", "sealed:", issued.stored.digest, issued.stored.key_id):
        assert secret not in kept
    (created,) = list_activity(services.store, organisation, ActivityFilters(topic="credential.created")).rows
    assert created["changes"]["secret"] == {"version": 1, "algorithm": "hmac-sha256"}


def test_each_filter_finds_its_own(services: Services, organisation: UUID) -> None:
    receipt, _ = given.a_credential(services, organisation, context=given.context(NOW - timedelta(days=3)))
    services.ledger.handle(
        RevokeCredential(context=given.context(NOW, actor="operator:1", address="::1"), credential_id=receipt.id)
    )
    given.a_credential(services, given.an_organisation(services, "Other"))
    catch_up(services)
    revoked = ["credential.revoked"]
    made = ["credential.scopes_fixed", "credential.created"]
    assert topics(services, organisation, ActivityFilters(aggregate_id=receipt.id)) == revoked + made
    assert topics(services, organisation, ActivityFilters(actor="operator:1")) == revoked
    assert topics(services, organisation, ActivityFilters(address="::1")) == revoked
    assert topics(services, organisation, ActivityFilters(topic="credential.revoked")) == revoked
    assert topics(services, organisation, ActivityFilters(until=NOW - timedelta(days=2))) == made
    assert topics(services, organisation, ActivityFilters(since=NOW, actor="operator:1")) == revoked
    assert len(list_activity(services.store, None).rows) == 7


def test_walking_all_pages_gives_every_event_once(services: Services, organisation: UUID) -> None:
    for _ in range(5):
        given.a_credential(services, organisation, context=given.context(NOW))
    catch_up(services)
    positions: list[int] = []
    cursor = None
    while True:
        page = list_activity(services.store, organisation, cursor=cursor, limit=3)
        positions += [row["position"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(positions) == list(range(1, 12))


def test_an_unknown_topic_and_a_strangers_cursor_are_refused_by_name(services: Services, organisation: UUID) -> None:
    given.a_credential(services, organisation)
    catch_up(services)
    with pytest.raises(InvalidValue, match="topic: is not a kind of event"):
        list_activity(services.store, organisation, ActivityFilters(topic="credential.exploded"))
    cursor = list_activity(services.store, organisation, limit=1).cursor
    with pytest.raises(InvalidValue, match="cursor: belongs"):
        list_activity(services.store, None, cursor=cursor)


def test_a_list_too_long_to_be_read_is_told_by_its_length() -> None:
    longest = (UUID(int=1),) * LISTED_MAX
    assert shown(longest) == longest
    assert shown((*longest, UUID(int=1))) == {"count": LISTED_MAX + 1}


# Of 40,000 events one in twenty is the organisation's, and of those one in fifty is special.
FILL = """
INSERT INTO activity (position, organisation_id, aggregate_id, aggregate_version, aggregate, topic, at, actor, via,
    reason, request_id, address, changes)
SELECT n, CASE WHEN n %% 20 = 19 THEN %(organisation)s ELSE %(other)s END,
    CASE WHEN special THEN %(special)s ELSE gen_random_uuid() END, 1, 'credential',
    CASE WHEN special THEN 'credential.revoked' ELSE 'credential.created' END, now() - n * interval '1 minute',
    CASE WHEN special THEN 'operator:7' ELSE 'operator:1' END, 'api', '', '',
    CASE WHEN special THEN '192.0.2.7' ELSE '192.0.2.1' END, '{}'
FROM generate_series(1, 40000) n, LATERAL (SELECT n %% 1000 = 999 AS special) s
"""
SPECIAL = UUID(int=7)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (ActivityFilters(), "activity_page"),
        (ActivityFilters(aggregate_id=SPECIAL), "activity_aggregate"),
        (ActivityFilters(actor="operator:7"), "activity_actor"),
        (ActivityFilters(topic="credential.revoked"), "activity_topic"),
        (ActivityFilters(address="192.0.2.7"), "activity_address"),
        (ActivityFilters(since=NOW - timedelta(days=2), until=NOW - timedelta(days=1)), "activity_page"),
        (ActivityFilters(actor="operator:7", until=NOW - timedelta(days=1)), "activity_actor"),
    ],
)
def test_a_page_of_each_filter_is_read_from_its_index(
    services: Services, organisation: UUID, filters: ActivityFilters, index: str
) -> None:
    query, parameters = activity_query(organisation, filters, cursor=None, limit=50)
    with services.store.connect() as connection:
        connection.execute(FILL, {"organisation": organisation, "other": SPECIAL, "special": SPECIAL})
        connection.execute("ANALYZE activity")
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}", parameters, prepare=False))
    assert f" {index} " in plan.replace("\n", " \n"), plan
    assert "Seq Scan" not in plan
