"""Last-used times: written together, newest wins, and nothing noted is lost but by a crash."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api.wiring import Services
from projections.rebuild import rebuild
from projections.usage import UsageRecorder

NOW = datetime.now(UTC)
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
    deadline = time.monotonic() + 10
    while not written(services) and time.monotonic() < deadline:
        time.sleep(0.02)
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
    usage = UsageRecorder(services.store, 60, notes_max=2)
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
