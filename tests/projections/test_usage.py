"""Usage: written together, newest wins, counts add up, and nothing noted is lost but by a crash."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import cast
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import given as drawn
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.wiring import Services
from ledger.commands import DescribeCredential, EraseCredential, RevokeCredential
from ledger.store.migrate import migrate
from ledger.values import AnyAddress, Label, RevocationReason
from ledger.verification import Code
from projections.rebuild import rebuild
from projections.usage import UsageRecorder, find_usage
from tests import given
from tests.projections.keeping_up import catch_up
from tests.waiting import until

# Noon: hours before and after it are the same day, whenever the tests run.
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
ONE, TWO = uuid4(), uuid4()


def written(services: Services) -> dict[tuple[UUID, int], datetime]:
    rows = services.store.rows("SELECT * FROM secret_usage")
    return {(row["credential_id"], row["version"]): row["last_used_at"] for row in rows}


def test_the_newest_use_of_each_secret_is_written(services: Services) -> None:
    usage = UsageRecorder(services.store, 60)
    for at in (NOW, NOW + timedelta(seconds=5), NOW - timedelta(seconds=5)):
        usage.note(ONE, 1, at)
    usage.note(ONE, 2, NOW)
    usage.note(TWO, 1, NOW)
    assert usage.flush() == 3
    assert written(services) == {(ONE, 1): NOW + timedelta(seconds=5), (ONE, 2): NOW, (TWO, 1): NOW}
    usage.note(ONE, 1, NOW - timedelta(days=1))  # another process was later
    usage.flush()
    assert written(services)[ONE, 1] == NOW + timedelta(seconds=5)
    assert usage.flush() == 0


def test_a_crash_loses_at_most_one_interval_and_a_stop_nothing(services: Services) -> None:
    usage = UsageRecorder(services.store, 0.1)
    usage.start()
    usage.note(ONE, 1, NOW)
    until(lambda: written(services))
    assert written(services) == {(ONE, 1): NOW}  # would outlive a crash from here on
    usage.note(TWO, 1, NOW)
    usage.stop()
    assert written(services) == {(ONE, 1): NOW, (TWO, 1): NOW}


def test_what_could_not_be_written_is_kept_for_the_next_time(services: Services) -> None:
    usage = UsageRecorder(services.store, 60)
    usage.note(ONE, 1, NOW)
    with services.store.connect() as connection:
        connection.execute("ALTER TABLE secret_usage RENAME TO elsewhere")
        with pytest.raises(Exception, match="secret_usage"):
            usage.flush()
        usage.note(ONE, 1, NOW + timedelta(seconds=1))
        connection.execute("ALTER TABLE elsewhere RENAME TO secret_usage")
    usage.flush()
    assert written(services) == {(ONE, 1): NOW + timedelta(seconds=1)}


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(services: Services) -> None:
    usage = UsageRecorder(services.store, 60, tallies_max=2)
    for number in range(5):
        usage.note(UUID(int=number), 1, NOW)
    usage.note(UUID(int=0), 1, NOW + timedelta(seconds=1))  # known: no room needed
    assert usage.dropped == 3
    assert usage.flush() == 2


def test_a_rebuild_leaves_last_used_times_alone(services: Services) -> None:
    usage = UsageRecorder(services.store, 60)
    usage.note(ONE, 1, NOW)
    usage.flush()
    rebuild(services.log, "credential_status")
    rebuild(services.log, "credential_list")
    assert written(services) == {(ONE, 1): NOW}


# --- from where, and with which answers ------------------------------------------------------------------------------

HERE, THERE = ip_address("192.0.2.7"), ip_address("2001:db8::7")


@pytest.fixture
def credential(services: Services) -> UUID:
    return given.a_credential(services, given.an_organisation(services))[0].id


def addresses(services: Services, credential_id: UUID) -> list[tuple[int, str, int, datetime, datetime]]:
    found = find_usage(services.store, credential_id).addresses
    return [(a["version"], str(a["address"]), a["uses"], a["first_used_at"], a["last_used_at"]) for a in found]


def test_uses_are_told_by_version_and_address_the_newest_first(services: Services, credential: UUID) -> None:
    one, another = UsageRecorder(services.store, 60), UsageRecorder(services.store, 60)
    one.note(credential, 1, NOW, HERE)
    one.note(credential, 1, NOW - HOUR, HERE)
    one.note(credential, 2, NOW + HOUR, HERE)
    one.note(credential, 1, NOW - HOUR, THERE)
    another.note(credential, 1, NOW - 3 * HOUR, HERE)
    another.note(credential, 1, NOW + 2 * HOUR)  # nobody told from where
    assert one.flush() + another.flush() == 5
    assert addresses(services, credential) == [
        (2, "192.0.2.7", 1, NOW + HOUR, NOW + HOUR),
        (1, "192.0.2.7", 3, NOW - 3 * HOUR, NOW),
        (1, "2001:db8::7", 1, NOW - HOUR, NOW - HOUR),
    ]


def test_codes_are_counted_by_day_and_only_what_is_valid_is_a_use(services: Services, credential: UUID) -> None:
    usage = UsageRecorder(services.store, 60)
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    usage.note(credential, 1, midnight - timedelta(microseconds=1), HERE)
    for _ in range(2):
        usage.note(credential, 1, midnight, HERE)
    usage.note(credential, 2, midnight, HERE)
    usage.note(credential, 2, midnight + HOUR, THERE, Code.IP_NOT_ALLOWED)
    usage.flush()
    found = find_usage(services.store, credential)
    assert found.days == [
        {"day": midnight.date(), "codes": {"VALID": 3, "IP_NOT_ALLOWED": 1}},
        {"day": midnight.date() - timedelta(days=1), "codes": {"VALID": 1}},
    ]
    assert {(row["version"], str(row["address"])) for row in found.addresses} == {(1, str(HERE)), (2, str(HERE))}
    assert written(services) == {(credential, 1): midnight, (credential, 2): midnight}


def sums(services: Services, organisation_id: UUID) -> dict[date, dict[str, int]]:
    rows = services.store.rows(
        "SELECT day, jsonb_object_agg(code, verifications) AS codes FROM organisation_verification_count "
        "WHERE organisation_id = %s GROUP BY day",
        (organisation_id,),
    )
    return {row["day"]: row["codes"] for row in rows}


def counted_before_there_were_sums(services: Services) -> None:
    """As a database is that the release before wrote, migrated."""
    with services.store.connect() as connection:
        connection.execute("DROP TABLE organisation_verification_count")
        connection.execute("DELETE FROM schema_migration WHERE name = 'answers_of_organisations'")
    assert [step.name for step in migrate(services.store.conninfo, services.settings.schema)] == [
        "answers_of_organisations"
    ]


def test_the_sums_begin_with_what_was_counted_before_there_were_any(services: Services) -> None:
    usage = UsageRecorder(services.store, 60)
    organisations = [given.an_organisation(services, name) for name in ("Acme", "Umbrella")]
    for number, organisation in enumerate(organisations):
        for _ in range(2):
            credential = given.a_credential(services, organisation)[0].id
            usage.note(credential, 1, NOW)
            usage.note(credential, 1, NOW - timedelta(days=number), code=Code.REVOKED)
    usage.note(ONE, 1, NOW)  # of which the log knows nothing
    usage.flush()
    known = [sums(services, organisation) for organisation in organisations]
    assert known[0] == {NOW.date(): {"VALID": 2, "REVOKED": 2}}
    counted_before_there_were_sums(services)
    assert [sums(services, organisation) for organisation in organisations] == known


def test_an_event_that_somebody_changed_keeps_no_usage_from_being_written(services: Services) -> None:
    organisation = given.an_organisation(services)
    changed, other = (given.a_credential(services, organisation)[0].id for _ in range(2))
    with services.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE ledger_events SET organisation_id = NULL WHERE originator_id = %s", (changed,))
    usage = UsageRecorder(services.store, 60)
    usage.note(changed, 1, NOW)
    usage.note(other, 1, NOW)
    usage.flush()
    assert written(services) == {(changed, 1): NOW, (other, 1): NOW}
    assert sums(services, organisation) == {NOW.date(): {"VALID": 1}}
    counted_before_there_were_sums(services)
    assert sums(services, organisation) == {NOW.date(): {"VALID": 1}}


noted = st.tuples(
    st.integers(1, 2),
    st.sampled_from([None, HERE, THERE]),
    st.sampled_from([Code.VALID, Code.EXPIRED]),
    st.integers(-50, 0),
    st.integers(0, 1),
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(notes=st.lists(noted, max_size=30), flushes=st.sets(st.integers(0, 29)))
def test_whenever_and_by_whomever_it_is_written_nothing_noted_is_lost(
    services: Services, notes: list[tuple[int, AnyAddress | None, Code, int, int]], flushes: set[int]
) -> None:
    organisation = given.an_organisation(services)
    credential, other = (given.a_credential(services, organisation)[0].id for _ in range(2))
    processes = [UsageRecorder(services.store, 60), UsageRecorder(services.store, 60)]
    days: dict[date, Counter[str]] = {}
    froms: Counter[tuple[int, str]] = Counter()
    last: dict[tuple[UUID, int], datetime] = {}
    for number, (version, address, code, hours, process) in enumerate(notes):
        at = NOW + hours * HOUR
        processes[process].note(credential, version, at, address, code)
        days.setdefault(at.date(), Counter())[code] += 1
        if code is Code.VALID:
            last[credential, version] = max(at, last.get((credential, version), at))
            if address is not None:
                froms[version, str(address)] += 1
        if number in flushes:
            processes[process].flush()
    processes[0].note(other, 1, NOW)
    for usage in processes:
        usage.flush()
    found = find_usage(services.store, credential)
    assert {row["day"]: row["codes"] for row in found.days} == days
    days.setdefault(NOW.date(), Counter())[Code.VALID] += 1
    assert sums(services, organisation) == days
    assert {(row["version"], str(row["address"])): row["uses"] for row in found.addresses} == froms
    assert {key: at for key, at in written(services).items() if key[0] == credential} == last


def test_a_batch_that_fails_is_counted_once(services: Services, credential: UUID) -> None:
    usage = UsageRecorder(services.store, 60)
    usage.note(credential, 1, NOW, HERE)
    with services.store.connect() as connection:
        connection.execute("ALTER TABLE address_usage RENAME TO elsewhere")  # the last of the transaction
        with pytest.raises(Exception, match="address_usage"):
            usage.flush()
        connection.execute("ALTER TABLE elsewhere RENAME TO address_usage")
        connection.execute("ALTER TABLE credential_list RENAME TO elsewhere")  # after it
        usage.note(credential, 1, NOW, HERE)
        with pytest.raises(Exception, match="credential_list"):
            usage.flush()
        connection.execute("ALTER TABLE elsewhere RENAME TO credential_list")
    assert usage.flush() == 0
    assert find_usage(services.store, credential).days == [{"day": NOW.date(), "codes": {"VALID": 2}}]
    assert addresses(services, credential) == [(1, str(HERE), 2, NOW, NOW)]


def test_of_a_credential_the_newest_addresses_are_kept(
    services: Services, credential: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.usage.ADDRESSES_MAX", 3)
    usage = UsageRecorder(services.store, 60)
    for number in (3, 1, 4, 2, 5):
        usage.note(credential, 1, NOW + number * HOUR, ip_address(f"192.0.2.{number}"))
    usage.flush()
    usage.note(credential, 1, NOW, ip_address("192.0.2.9"))  # older than all that are kept
    usage.flush()
    assert services.store.rows("SELECT host(address) AS a FROM address_usage ORDER BY 1") == [
        {"a": "192.0.2.3"},
        {"a": "192.0.2.4"},
        {"a": "192.0.2.5"},
    ]


def test_addresses_go_when_a_credential_is_erased_and_never_come_back(services: Services, credential: UUID) -> None:
    other = given.a_credential(services, given.an_organisation(services, "Other"))[0].id
    usage = UsageRecorder(services.store, 60)
    for one in (credential, other):
        usage.note(one, 1, NOW, HERE)
    usage.flush()
    for command in (
        RevokeCredential(
            context=given.context(), credential_id=credential, revocation_reason=RevocationReason.NO_LONGER_USED
        ),
        EraseCredential(context=given.context(), credential_id=credential),
    ):
        services.ledger.handle(command)
    assert (addresses(services, credential), len(addresses(services, other))) == ([], 1)
    for one in (credential, other):
        usage.note(one, 1, NOW + HOUR, THERE)  # noted before, as it may be, and written after
    usage.flush()
    assert (addresses(services, credential), len(addresses(services, other))) == ([], 2)
    assert find_usage(services.store, credential).days[0]["codes"] == {"VALID": 2}  # nothing personal


def test_what_is_written_while_a_credential_is_being_erased_waits_for_nobody(
    services: Services, credential: UUID
) -> None:
    usage = UsageRecorder(services.store, 60)
    usage.note(credential, 1, NOW, HERE)
    with services.store.connect() as connection, connection.transaction():
        connection.execute("DELETE FROM ledger_data_keys WHERE aggregate_id = %s", (credential,))
        usage.flush()
    assert written(services) == {(credential, 1): NOW}
    assert addresses(services, credential) == []


# --- telling the list ------------------------------------------------------------------------------------------------


def seen_at(services: Services, credential_id: UUID) -> datetime | None:
    row = services.store.row("SELECT seen_at FROM credential_list WHERE credential_id = %s", (credential_id,))
    assert row is not None
    return cast("datetime | None", row["seen_at"])


def test_the_list_is_told_of_a_use_once_a_day_and_a_change_of_the_credential_leaves_that_alone(
    services: Services, credential: UUID
) -> None:
    usage = UsageRecorder(services.store, 60)

    def use(at: datetime, code: Code = Code.VALID) -> datetime | None:
        usage.note(credential, 1, at, None, code)
        usage.flush()
        return seen_at(services, credential)

    catch_up(services)
    assert use(NOW, Code.EXPIRED) is None
    assert use(NOW) == NOW
    assert use(NOW + 24 * HOUR) == NOW
    assert use(NOW + 25 * HOUR) == NOW + 25 * HOUR
    assert use(NOW) == NOW + 25 * HOUR
    services.ledger.handle(
        DescribeCredential(
            context=given.context(),
            credential_id=credential,
            name=Label("renamed"),
            description=None,
            contact_email=None,
            labels=None,
        )
    )
    catch_up(services)
    assert seen_at(services, credential) == NOW + 25 * HOUR


def test_a_rebuild_puts_the_last_use_into_the_list(services: Services, credential: UUID) -> None:
    unused = given.a_credential(services, given.an_organisation(services, "Other"))[0].id
    usage = UsageRecorder(services.store, 60)
    for version, at in ((1, NOW), (2, NOW - HOUR)):
        usage.note(credential, version, at)
    usage.flush()  # before the list has the row, as may happen
    catch_up(services)
    assert seen_at(services, credential) is None
    rebuild(services.log, "credential_list")
    assert (seen_at(services, credential), seen_at(services, unused)) == (NOW, None)
