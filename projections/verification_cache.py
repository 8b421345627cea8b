"""What verification looks up, kept in the memory of the process that verifies, as long as it is certainly still so.

A follower reads the log's new events and marks whose they are. What was looked up before a mark is not used after it.
A notification tells the follower to look at once; it also looks several times a second, and each look that finds the
log's end confirms that all which was acknowledged until then is marked. Where no look was confirmed for
`CONFIRMED_SECONDS_MAX`, as when the connection is gone or the server fell silent, PostgreSQL is asked at every
verification again. So what is acknowledged holds on every worker within milliseconds, and within that bound at worst.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql

from ledger.errors import StoreUnavailable
from ledger.events import Recorded
from ledger.store.datastore import UNAVAILABLE
from ledger.store.log import Change, EventLog
from ledger.values import Channel
from ledger.verification import Candidate
from projections.credential_status import FoundForVerification, candidates_of, look_up_for_verification
from projections.operator_status import Caller

CONFIRMED_SECONDS_MAX = 1.0
LOOK_SECONDS = 0.25  # four looks may fail to come back in time before the cache is left aside
GATHER_SECONDS = 0.005  # what is recorded in quick succession is marked in one look
EVENTS_MAX = 10_000  # more than that since the last look, and forgetting all is cheaper than reading whose they are
MARKS_MAX = 100_000  # some twelve megabytes; beyond it all is forgotten and begins anew
CALLERS_MAX = 1_000  # gateways with their tokens, of which an installation has some dozen
RETRY_SECONDS = 0.5

# Nothing that was looked up before can be about what these begin.
_BEGINNINGS = frozenset({"credential.created", "credential.scopes_fixed"})
# What matters to nothing but the thing that it happened to.
_OF_ITSELF = ("credential.", "operator.", "webhook_endpoint.")

logger = logging.getLogger("keyledger.cache")

K = TypeVar("K")
V = TypeVar("V")

Key = tuple[Sequence[str], tuple[Channel, str] | None]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer of PostgreSQL; `position` is one up to which the log was certainly seen by it."""

    rows: Sequence[bytes]
    position: int
    at: float


@dataclass(frozen=True, slots=True)
class _KeptCaller:
    caller: Caller
    position: int
    at: float


class VerificationCache:
    """Answers as `find_for_verification` does. Build it after a fork; `start` it, and `stop` it.

    `entries_max` bounds how many secrets are kept, about a kilobyte each, and `seconds_max` for how long.
    """

    def __init__(self, log: EventLog, *, entries_max: int, seconds_max: float) -> None:
        self._log = log
        self._entries_max = entries_max
        self._seconds_max = seconds_max
        self._kept: dict[Key, _Kept] = {}
        self._callers: dict[Sequence[str], _KeptCaller] = {}
        self._mutex = threading.Lock()  # of whoever keeps an answer or marks; reading one takes no lock
        self._marks: dict[UUID, int] = {}
        self._forgotten = 0
        self._seen = 0
        self._heeded = 0
        self._confirmed_at = float("-inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.hits = 0
        """How many look-ups were answered from memory, for the metrics."""
        self.misses = 0

    @property
    def entries(self) -> int:
        """How many secrets are kept."""
        return len(self._kept)

    # --- answering ---------------------------------------------------------------------------------------------------

    def find(
        self, caller_digests: Sequence[str], secret_digests: Sequence[str], login: tuple[Channel, str] | None
    ) -> tuple[Caller | None, Sequence[Candidate]]:
        """The caller, and the secrets that may be the presented one."""
        now, key = time.monotonic(), (tuple(secret_digests), login)
        if now - self._confirmed_at < CONFIRMED_SECONDS_MAX:
            caller, candidates = self._kept_caller(tuple(caller_digests), now), self._kept_candidates(key, now)
            if caller is not None and candidates is not None:
                self.hits += 1
                return caller, candidates
        self.misses += 1
        seen = self._seen  # before the question, so that whatever is recorded meanwhile counts as later
        found = look_up_for_verification(self._log.datastore, caller_digests, secret_digests, login)
        self._keep(tuple(caller_digests), key, found, seen, now)
        return found.caller, candidates_of(found.rows)

    def _kept_caller(self, digests: Sequence[str], now: float) -> Caller | None:
        kept = self._callers.get(digests)
        if kept is None or not self._young(kept.position, kept.at, now):
            return None
        caller = kept.caller
        if self._marked(caller.operator_id, kept.position):
            return None
        if caller.token_expires_at is not None and caller.token_expires_at <= datetime.now(UTC):
            return None
        return caller

    def _kept_candidates(self, key: Key, now: float) -> Sequence[Candidate] | None:
        kept = self._kept.get(key)
        if kept is None or not self._young(kept.position, kept.at, now):
            return None
        if not kept.rows:
            # Whatever is recorded next may be a credential with this very secret.
            return () if kept.position == self._seen and kept.position >= self._heeded else None
        candidates = candidates_of(kept.rows)
        for candidate in candidates:
            if self._marked(candidate.credential_id, kept.position):
                return None
            if self._marked(candidate.organisation_id, kept.position):
                return None
        return candidates

    def _young(self, position: int, at: float, now: float) -> bool:
        return position >= self._forgotten and now - at < self._seconds_max

    def _marked(self, whose: UUID, position: int) -> bool:
        return self._marks.get(whose, 0) > position

    def _keep(
        self, caller_digests: Sequence[str], key: Key, found: FoundForVerification, position: int, now: float
    ) -> None:
        if found.caller is None:
            return  # whoever has no token cannot fill our memory
        with self._mutex:
            _put(self._callers, caller_digests, _KeptCaller(found.caller, position, now), CALLERS_MAX)
            _put(self._kept, key, _Kept(found.rows, position, now), self._entries_max)

    # --- following the log -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the log, on a thread of its own. Until its first look, PostgreSQL is asked."""
        self._thread = threading.Thread(target=self._run, name="verification cache", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End following; PostgreSQL is asked from here on."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._log.datastore.connect() as connection:
                    self._follow(connection)
            except (*UNAVAILABLE, StoreUnavailable) as error:
                logger.warning("lost PostgreSQL (%s): asking it at every verification", type(error).__name__)
            except Exception:
                logger.exception("cannot follow the log: asking PostgreSQL at every verification")
            finally:
                self._confirmed_at = float("-inf")
            self._stopping.wait(RETRY_SECONDS)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._log.recorder.notify_channel)))
        # A connection is also lost when another server takes over, whose log may end otherwise than what we followed.
        self._forget_all(self._log.head(connection=connection))
        while not self._stopping.is_set():
            asked_at = time.monotonic()
            self._look(connection)
            self._confirmed_at = asked_at
            for _ in connection.notifies(timeout=LOOK_SECONDS, stop_after=1):
                self._stopping.wait(GATHER_SECONDS)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        """Mark what was recorded since the last look."""
        head = self._log.head(connection=connection)
        if head == self._seen:
            return
        if head - self._seen > EVENTS_MAX or len(self._marks) > MARKS_MAX:
            self._forget_all(head)
            return
        for change in self._log.changes(self._seen, head, connection=connection):
            self._mark(change)
        self._seen = head  # after the marks: whoever reads it finds them

    def heed(self, recorded: Iterable[Recorded]) -> None:
        """Mark what this process recorded itself, before anybody is told of it: whoever asks here next finds it so."""
        for one in recorded:
            self._mark(Change(one.position, one.aggregate_id, one.organisation_id, one.event.TOPIC))
            self._heeded = max(self._heeded, one.position)

    def _mark(self, change: Change) -> None:
        if change.topic in _BEGINNINGS:
            return
        whose = [change.aggregate_id]
        # A change of an account, an application or the catalogue is one for all that may hang on it.
        if not change.topic.startswith(_OF_ITSELF) and change.organisation_id is not None:
            whose.append(change.organisation_id)
        with self._mutex:  # the follower comes later to what was heeded, and must not take a newer mark back
            for id_ in whose:
                self._marks[id_] = max(change.position, self._marks.get(id_, 0))

    def _forget_all(self, head: int) -> None:
        self._forgotten = head  # before the marks go: what they held back is held back by this
        self._marks = {}
        self._seen = head
        with self._mutex:
            self._kept.clear()
            self._callers.clear()


def _put(kept: dict[K, V], key: K, value: V, entries_max: int) -> None:
    """Keep it as the newest; the oldest goes where there is no room."""
    kept.pop(key, None)
    if len(kept) >= entries_max:
        del kept[next(iter(kept))]
    kept[key] = value
