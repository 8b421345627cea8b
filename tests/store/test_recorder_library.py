"""The eventsourcing library's own test cases for recorders, run against ours.

All of them that concern an application recorder. The tracking and process recorders' cases do not apply: projections
keep their positions in `projection_tracking` by their own runner. Nor does the aggregate recorder's, which wants
inserting to return None where an application recorder returns positions.
"""

import sys
from collections.abc import Iterator
from types import ModuleType
from uuid import uuid4

import pytest
from eventsourcing.persistence import DataError, IntegrityError, StoredEvent

from ledger.settings import Settings
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import LedgerRecorder

# The cases share a module with those of the library's cipher, whose dependency is not installed: it is not used here.
_cipher = ModuleType("eventsourcing.cipher")
_cipher.AESCipher = None  # type: ignore[attr-defined]
sys.modules.setdefault("eventsourcing.cipher", _cipher)

from eventsourcing.tests.persistence import (  # noqa: E402 - see above
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)


class _OnAFreshLedger:
    recorder: LedgerRecorder

    @pytest.fixture(autouse=True)
    def _fresh_ledger(self, settings: Settings) -> Iterator[None]:
        with LedgerDatastore(settings.database_url, settings) as datastore:
            self.recorder = LedgerRecorder(datastore, settings)
            yield

    def create_recorder(self) -> LedgerRecorder:
        return self.recorder


class TestAsApplicationRecorder(_OnAFreshLedger, ApplicationRecorderTestCase[LedgerRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestThatConcurrentCommandsDoNotInterleave(_OnAFreshLedger, NonInterleavingNotificationIDsBaseCase):
    pass


class TestBeyondTheLibrary(_OnAFreshLedger):
    def test_refusals_are_the_librarys_own_errors(self) -> None:
        event = StoredEvent(uuid4(), 1, "topic", b"{}")
        self.recorder.insert_events([event])
        with pytest.raises(IntegrityError):
            self.recorder.insert_events([event])
        with pytest.raises(DataError):
            self.recorder.insert_events([StoredEvent(uuid4(), 1, "a NUL \0", b"{}")])
        assert self.recorder.insert_events([]) == []
        assert self.recorder.max_notification_id() == 1

    def test_events_of_two_aggregates_or_with_a_gap_are_no_command(self) -> None:
        one, other = uuid4(), uuid4()
        for events in (
            [StoredEvent(one, 1, "topic", b"{}"), StoredEvent(other, 1, "topic", b"{}")],
            [StoredEvent(one, 1, "topic", b"{}"), StoredEvent(one, 3, "topic", b"{}")],
        ):
            with pytest.raises(ValueError, match="versions in a row"):
                self.recorder.insert_events(events)
        assert self.recorder.max_notification_id() is None
