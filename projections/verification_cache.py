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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from sys import intern
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg import sql

from ledger.errors import StoreUnavailable
from ledger.events import Recorded
from ledger.store.datastore import UNAVAILABLE
from ledger.store.log import Change, EventLog
from ledger.values import SIGNING_KEY_ID, Channel
from ledger.verification import Candidate
from projections.credential_status import find_client, find_for_verification
from projections.oauth import list_revoked_tokens
from projections.operator_status import Caller, find_caller

CONFIRMED_SECONDS_MAX = 1.0
LOOK_SECONDS = 0.25  # four looks may fail to come back in time before the cache is left aside
# Looks are no closer together: what is recorded in quick succession is marked in one, and a worker that creates
# hundreds of credentials a second looks no oftener than this for it. A revocation waits as long at most.
GATHER_SECONDS = 0.02
EVENTS_MAX = 10_000  # read at one look: where more was recorded since the last, all is forgotten and begins anew
REVOKED_TOKENS_MAX = 1_000  # as many are read at every look; where there are more, PostgreSQL is asked each time
MARKS_MAX = 100_000  # some twelve megabytes; beyond it all is forgotten and begins anew
UNKNOWN_MAX = 1_000  # secrets that nobody has: good until anything at all is recorded, so more would hardly serve
CALLERS_MAX = 1_000  # gateways with their tokens, of which an installation has some dozen
# Lists of scopes that secrets have in common, such as those of a preset: as many as some hundred catalogues have. Even
# of five hundred scopes each, no two of them alike, these are some forty megabytes.
LISTS_MAX = 1_000
RETRY_SECONDS = 0.5

# Nothing that was looked up before can be about what these begin.
_BEGINNINGS = frozenset({"credential.created", "credential.scopes_fixed", "operator.enrolled"})
# What matters to nothing but the thing that it happened to.
_OF_ITSELF = ("credential.", "operator.", "webhook_endpoint.")

logger = logging.getLogger("keyledger.cache")

K = TypeVar("K")
V = TypeVar("V")

# The digests of a secret and the login it may go with; for access tokens the signing key and the client.
Key = tuple[Sequence[str], tuple[Channel, str] | str | None]


class _Kept(msgspec.Struct, frozen=True, gc=False):  # it is part of no cycle, and there are many thousands
    """An answer of PostgreSQL; `position` is one up to which the log was certainly seen by it. `of` is whose it is, by
    the numbers of their ids, as marks are.
    """

    candidates: Sequence[Candidate]
    of: Sequence[int]
    position: int
    at: float


@dataclass(frozen=True, slots=True)
class _KeptCaller:
    caller: Caller
    position: int
    at: float


class VerificationCache:
    """Answers as `find_for_verification` does. Build it after a fork; `start` it, and `stop` it.

    `entries_max` bounds how many secrets are kept, some two kilobytes each, and `seconds_max` for how long. Of five
    hundred scopes each would bring some forty kilobytes, so they are kept once for all secrets that have the same.
    """

    def __init__(self, log: EventLog, *, entries_max: int, seconds_max: float) -> None:
        self._log = log
        self._entries_max = entries_max
        self._seconds_max = seconds_max
        self._kept: dict[Key, _Kept] = {}
        self._unknown: dict[Key, _Kept] = {}
        self._callers: dict[Sequence[str], _KeptCaller] = {}
        self._lists: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._mutex = threading.Lock()  # of whoever keeps an answer or marks; reading one takes no lock
        self._marks: dict[int, int] = {}  # by the id's number, which takes a fifth of an id's time to look up
        self._forgotten = 0
        self._seen = 0
        self._heeded = 0
        self._revoked_tokens: frozenset[str] | None = None  # None where there are too many to know
        self._heeded_tokens: set[str] = set()
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
        caller, candidates = find_for_verification(self._log.datastore, caller_digests, secret_digests, login)
        if caller is not None:  # whoever has no token cannot fill our memory
            self._keep(tuple(caller_digests), key, caller, candidates, seen, now)
        return caller, candidates

    def find_caller(self, digests: Sequence[str]) -> Caller | None:
        """Whose live token has one of these digests, as `operator_status.find_caller` says."""
        now, key = time.monotonic(), tuple(digests)
        if now - self._confirmed_at < CONFIRMED_SECONDS_MAX:
            kept = self._kept_caller(key, now)
            if kept is not None:
                return kept
        seen = self._seen
        found = find_caller(self._log.datastore, digests)
        if found is not None:
            with self._mutex:
                _put(self._callers, key, _KeptCaller(found, seen, now), CALLERS_MAX)
        return found

    def find_secret(self, digests: Sequence[str]) -> Sequence[Candidate]:
        """The secrets that may be the presented one, for whoever presents it in person, like an OAuth client.

        What is nobody's is not kept: strangers ask here.
        """
        now, key = time.monotonic(), (tuple(digests), None)
        if now - self._confirmed_at < CONFIRMED_SECONDS_MAX:
            kept = self._kept_candidates(key, now)
            if kept is not None:
                self.hits += 1
                return kept
        self.misses += 1
        seen = self._seen
        _, found = find_for_verification(self._log.datastore, (), digests, None)
        if found:
            self._keep_candidates(key, _Kept(self._slim(found), tuple(_numbers(found)), seen, now))
        return found

    def find_client(self, public_id: str, jti: str, kid: str) -> Sequence[Candidate]:
        """An OAuth client with the secrets that can be live, as `credential_status.find_client` says: nothing where
        the token `jti` was revoked or the key `kid` given up.
        """
        now, key = time.monotonic(), ((kid,), public_id)
        # In this order: the follower puts a token into the list before it takes it from those that were heeded.
        heeded, revoked = jti in self._heeded_tokens, self._revoked_tokens
        if now - self._confirmed_at < CONFIRMED_SECONDS_MAX and revoked is not None:
            if heeded or jti in revoked:
                return ()
            kept = self._kept_candidates(key, now)
            if kept is not None:
                self.hits += 1
                return kept
        self.misses += 1
        seen = self._seen
        found = find_client(self._log.datastore, public_id, jti, kid)
        if found:  # nothing is what a revoked token gives too, and another token of the client is good
            self._keep_candidates(key, _Kept(self._slim(found), (SIGNING_KEY_ID.int, *_numbers(found)), seen, now))
        return found

    def _kept_caller(self, digests: Sequence[str], now: float) -> Caller | None:
        kept = self._callers.get(digests)
        if kept is None or not self._young(kept.position, kept.at, now):
            return None
        caller = kept.caller
        if self._marks.get(caller.operator_id.int, 0) > kept.position:
            return None
        if caller.token_expires_at is not None and caller.token_expires_at <= datetime.now(UTC):
            return None
        return caller

    def _kept_candidates(self, key: Key, now: float) -> Sequence[Candidate] | None:
        kept = self._kept.get(key) or self._unknown.get(key)
        if kept is None or not self._young(kept.position, kept.at, now):
            return None
        if not kept.candidates:
            # Whatever is recorded next may be a credential with this very secret.
            return () if kept.position == self._seen and kept.position >= self._heeded else None
        for number in kept.of:
            if self._marks.get(number, 0) > kept.position:
                return None
        return kept.candidates

    def _young(self, position: int, at: float, now: float) -> bool:
        return position >= self._forgotten and now - at < self._seconds_max

    def _keep(
        self,
        caller_digests: Sequence[str],
        key: Key,
        caller: Caller,
        candidates: Sequence[Candidate],
        position: int,
        now: float,
    ) -> None:
        kept = _Kept(self._slim(candidates), tuple(_numbers(candidates)), position, now)
        with self._mutex:
            _put(self._callers, caller_digests, _KeptCaller(caller, position, now), CALLERS_MAX)
            if candidates:
                _put(self._kept, key, kept, self._entries_max)
            else:  # in a place of their own, so that whoever guesses drives out nothing that is in use
                _put(self._unknown, key, kept, min(UNKNOWN_MAX, self._entries_max))

    def _keep_candidates(self, key: Key, kept: _Kept) -> None:
        with self._mutex:
            _put(self._kept, key, kept, self._entries_max)

    def _slim(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same, with the lists of scopes that are kept for others already."""
        return [
            replace(
                c,
                scopes=self._shared(c.scopes),
                retired=self._shared(c.retired),
                connected=c.connected and {intern(api): self._shared(tuple(of)) for api, of in c.connected.items()},
            )
            for c in candidates
        ]

    def _shared(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        known = self._lists.get(scopes)
        if known is None:
            known = tuple(intern(scope) for scope in scopes)
            if len(self._lists) >= LISTS_MAX:
                self._lists.clear()  # what is in use stays with those who have it
            self._lists[known] = known
        return known

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
                self._stopping.wait(asked_at + GATHER_SECONDS - time.monotonic())

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        """Mark what was recorded since the last look, and learn which access tokens were revoked, which is no event."""
        head, changes = self._log.changes(self._seen, EVENTS_MAX + 1, connection=connection)
        if len(changes) > EVENTS_MAX or len(self._marks) > MARKS_MAX:
            self._forget_all(head)
        else:
            for change in changes:
                self._mark(change)
            self._seen = head  # after the marks: whoever reads it finds them
        heeded = frozenset(self._heeded_tokens)  # these are in the list, those that come while it is read may not be
        revoked = list_revoked_tokens(connection, REVOKED_TOKENS_MAX + 1)
        self._revoked_tokens = frozenset(revoked) if len(revoked) <= REVOKED_TOKENS_MAX else None
        with self._mutex:
            self._heeded_tokens -= heeded

    def heed(self, recorded: Iterable[Recorded]) -> None:
        """Mark what this process recorded itself, before anybody is told of it: whoever asks here next finds it so."""
        for one in recorded:
            self._mark(Change(one.position, one.aggregate_id, one.organisation_id, one.event.TOPIC))
            self._heeded = max(self._heeded, one.position)

    def heed_token(self, jti: str) -> None:
        """Learn at once of an access token that this process revoked."""
        with self._mutex:
            self._heeded_tokens.add(jti)

    def _mark(self, change: Change) -> None:
        if change.topic in _BEGINNINGS:
            return
        whose = [change.aggregate_id]
        # A change of an account, an application or the catalogue is one for all that may hang on it.
        if not change.topic.startswith(_OF_ITSELF) and change.organisation_id is not None:
            whose.append(change.organisation_id)
        with self._mutex:  # the follower comes later to what was heeded, and must not take a newer mark back
            for id_ in whose:
                self._marks[id_.int] = max(change.position, self._marks.get(id_.int, 0))

    def _forget_all(self, head: int) -> None:
        self._forgotten = head  # before the marks go: what they held back is held back by this
        self._marks = {}
        self._seen = head
        with self._mutex:
            self._kept.clear()
            self._unknown.clear()
            self._callers.clear()


def _numbers(candidates: Iterable[Candidate]) -> set[int]:
    """Whose marks end what was found."""
    return {id_.int for c in candidates for id_ in (c.credential_id, c.organisation_id)}


def _put(kept: dict[K, V], key: K, value: V, entries_max: int) -> None:
    """Keep it as the newest; the oldest goes where there is no room."""
    kept.pop(key, None)
    if len(kept) >= entries_max:
        del kept[next(iter(kept))]
    kept[key] = value
