"""How credentials are used: when and from where each secret was, and what was answered about it. Not events: one
verification a millisecond would drown what people did.

Noted in memory, one tally for all that is alike, and written together every few seconds by a thread. A crash loses at
most one interval; an error keeps what was noted for the next one.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from ipaddress import ip_address
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from ledger.store.datastore import LedgerDatastore
from ledger.values import AnyAddress
from ledger.verification import Code
from projections.flushing import Flusher

# Some 60 MB: what ten thousand credentials a second leave in an interval, and all that a database which is away may
# take of the verifying process. Beyond it what is new is not noted, and counted as dropped.
TALLIES_MAX = 100_000
BATCH_TALLIES = 2_000  # a transaction of a tenth of a second; nobody waits for its locks but other flushes
# Of a credential. A server's key has a few; that of an app on people's phones has no end of them, of which the newest
# tell as much. They are one answer, and all that the holder of one key can have stored.
ADDRESSES_MAX = 100

_SECRETS = (
    "INSERT INTO secret_usage AS u (credential_id, version, last_used_at) "
    "SELECT * FROM unnest(%s::uuid[], %s::integer[], %s::timestamptz[]) "
    "ON CONFLICT (credential_id, version) DO UPDATE SET last_used_at = EXCLUDED.last_used_at "
    "WHERE u.last_used_at < EXCLUDED.last_used_at"
)
# Of those who have a data key, which an erasure destroys. One that is just being destroyed is passed over: who waits
# for the log's writer while holding the keys of others, for which that waits, stands in a circle with it.
_ADDRESSES = (
    "WITH written AS (INSERT INTO address_usage AS u "
    "(credential_id, version, address, uses, first_used_at, last_used_at) "
    "SELECT w.* FROM unnest(%s::uuid[], %s::integer[], %s::inet[], %s::bigint[], %s::timestamptz[], %s::timestamptz[]) "
    "AS w (credential_id, version, address, uses, first_used_at, last_used_at) CROSS JOIN LATERAL "
    "(SELECT FROM ledger_data_keys k WHERE k.aggregate_id = w.credential_id FOR KEY SHARE SKIP LOCKED) k "
    "ON CONFLICT (credential_id, version, address) DO UPDATE SET uses = u.uses + EXCLUDED.uses, "
    "first_used_at = least(u.first_used_at, EXCLUDED.first_used_at), "
    "last_used_at = greatest(u.last_used_at, EXCLUDED.last_used_at) RETURNING credential_id, xmax = 0 AS is_new) "
    "SELECT DISTINCT credential_id FROM written WHERE is_new"
)
_COUNTS = (
    "INSERT INTO verification_count AS c (credential_id, day, code, verifications) "
    "SELECT * FROM unnest(%s::uuid[], %s::date[], %s::text[], %s::bigint[]) "
    "ON CONFLICT (credential_id, day, code) DO UPDATE SET verifications = c.verifications + EXCLUDED.verifications"
)
# Whose a credential is, its first event says; where that was changed and says nothing, all the others are added up. A
# row of these is shared by all that verifies for an organisation, so it is the last to be locked.
_SUMS = (
    "INSERT INTO organisation_verification_count AS c (organisation_id, day, code, verifications) "
    "SELECT e.organisation_id, w.day, w.code, sum(w.verifications) "
    "FROM unnest(%s::uuid[], %s::date[], %s::text[], %s::bigint[]) AS w (credential_id, day, code, verifications) "
    "JOIN ledger_events e ON e.originator_id = w.credential_id AND e.originator_version = 1 "
    "WHERE e.organisation_id IS NOT NULL "
    "GROUP BY e.organisation_id, w.day, w.code ORDER BY e.organisation_id, w.day, w.code "
    "ON CONFLICT (organisation_id, day, code) DO UPDATE SET verifications = c.verifications + EXCLUDED.verifications"
)
# Neither of these waits for a row that somebody else holds, so neither can be part of a circle. What is passed over is
# found again at the next new address, and at the next use.
_FORGET_OLDEST = (
    "DELETE FROM address_usage WHERE (credential_id, version, address) IN ("
    "SELECT a.credential_id, a.version, a.address FROM address_usage a JOIN ("
    "SELECT credential_id, version, address, "
    "row_number() OVER (PARTITION BY credential_id ORDER BY last_used_at DESC, version DESC, address) AS place "
    "FROM address_usage WHERE credential_id = ANY(%s)) p USING (credential_id, version, address) "
    "WHERE p.place > %s FOR UPDATE OF a SKIP LOCKED)"
)
# Each of these writes a row's entry in every index of the list, so it is once a day.
_SEEN = (
    "UPDATE credential_list c SET seen_at = s.at FROM ("
    "SELECT l.credential_id, w.at FROM unnest(%s::uuid[], %s::timestamptz[]) AS w (credential_id, at) "
    "JOIN credential_list l USING (credential_id) WHERE l.seen_at IS NULL OR l.seen_at < w.at - interval '1 day' "
    "FOR NO KEY UPDATE OF l SKIP LOCKED) s WHERE c.credential_id = s.credential_id"
)

logger = logging.getLogger("keyledger.usage")

# Whose secret of which version, the code, the day, and from where: an address's bytes, empty for none. Of plain types,
# which a dictionary compares without running Python.
_Key = tuple[int, int, Code, date, bytes]


@dataclass(slots=True)
class _Tally:
    """What is known of verifications that are alike: how many, the first and the last."""

    count: int
    first: datetime
    last: datetime

    def add(self, other: "_Tally") -> None:
        """Take in another one's."""
        self.count += other.count
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


class UsageRecorder:
    """Notes the usage that one process sees. Build it after a fork; `start` it, and `stop` it to write what is left."""

    def __init__(self, store: LedgerDatastore, flush_seconds: float, tallies_max: int = TALLIES_MAX) -> None:
        self._store = store
        self._tallies_max = tallies_max
        self._tallies: dict[_Key, _Tally] = {}
        self._mutex = threading.Lock()
        self._flusher = Flusher(self.flush, flush_seconds, "usage", logger)
        self.start, self.stop = self._flusher.start, self._flusher.stop
        self.dropped = 0
        """How many verifications were not noted because the bound was reached, for the metrics."""

    def note(
        self,
        credential_id: UUID,
        secret_version: int,
        at: datetime,
        address: AnyAddress | None = None,
        code: Code = Code.VALID,
    ) -> None:
        """Note what was answered about a credential, at a time in UTC. What was `VALID` is a use of its secret, from
        an address where one was told. Costs about a microsecond and never waits for the database.
        """
        # Where a refused request came from is not kept: whoever is refused could choose it.
        packed = address.packed if address is not None and code is Code.VALID else b""
        key = (credential_id.int, secret_version, code, at.date(), packed)
        with self._mutex:
            tally = self._tallies.get(key)
            if tally is None:
                self._keep(key, _Tally(1, at, at))
                return
            tally.count += 1
            if at > tally.last:
                tally.last = at
            elif at < tally.first:
                tally.first = at

    def _keep(self, key: _Key, tally: _Tally) -> None:
        if len(self._tallies) >= self._tallies_max:
            self.dropped += tally.count
        else:
            self._tallies[key] = tally

    def flush(self) -> int:
        """Write what was noted; returns how many tallies. Raises `StoreUnavailable` with what is not written kept.

        Where the connection breaks at a commit, a batch that was written may be written again: its counts are then
        too high, which is better than too low.
        """
        with self._mutex:
            tallies, self._tallies = self._tallies, {}
        left = sorted(tallies.items(), key=itemgetter(0), reverse=True)
        written = 0
        try:
            while left:
                batch = left[-BATCH_TALLIES:]
                with self._store.cursor_of_tuples() as curs:
                    with_new = _write(curs, batch)
                    del left[-BATCH_TALLIES:]  # here, as what follows may fail and these must not be counted twice
                    written += len(batch)
                    _tidy(curs, batch, with_new)
        except BaseException:
            self._put_back(left)
            raise
        return written

    def _put_back(self, left: Sequence[tuple[_Key, _Tally]]) -> None:
        with self._mutex:
            for key, tally in left:
                known = self._tallies.get(key)
                if known is None:
                    self._keep(key, tally)
                else:
                    known.add(tally)


K = TypeVar("K", bound=tuple[Any, ...])


def _merged(tallies: Iterable[tuple[K, _Tally]]) -> list[tuple[K, _Tally]]:
    """One tally for each key, in the order of keys: two processes that write the same rows then wait for each other,
    and never in a circle.
    """
    merged: dict[K, _Tally] = {}
    for key, tally in tallies:
        if key in merged:
            merged[key].add(tally)
        else:
            merged[key] = _Tally(tally.count, tally.first, tally.last)
    return sorted(merged.items(), key=itemgetter(0))


def _write(curs: psycopg.Cursor[TupleRow], tallies: Sequence[tuple[_Key, _Tally]]) -> list[UUID]:
    """Add some tallies to what is known; returns of which credentials there are new addresses."""
    uses = [(key, tally) for key, tally in tallies if key[2] is Code.VALID]
    of_secrets = _merged((key[:2], tally) for key, tally in uses)
    of_addresses = _merged(((number, version, packed), t) for (number, version, *_, packed), t in uses if packed)
    of_codes = _merged(((number, day, code), tally) for (number, _, code, day, _), tally in tallies)
    with curs.connection.transaction():
        versions = _array(str(version) for (_, version), _ in of_secrets)
        curs.execute(_SECRETS, (_ids(of_secrets), versions, _last_times(of_secrets)))
        counts = (
            _ids(of_codes),
            _array(day.isoformat() for (_, day, _), _ in of_codes),
            _array(code for (*_, code), _ in of_codes),
            _counts(of_codes),
        )
        curs.execute(_COUNTS, counts)
        curs.execute(
            _ADDRESSES,
            (
                _ids(of_addresses),
                _array(str(version) for (_, version, _), _ in of_addresses),
                _array(str(ip_address(packed)) for (*_, packed), _ in of_addresses),
                _counts(of_addresses),
                _array(t.first.isoformat() for _, t in of_addresses),
                _last_times(of_addresses),
            ),
        )
        with_new = [credential_id for (credential_id,) in curs]
        curs.execute(_SUMS, counts)
    return with_new


def _tidy(curs: psycopg.Cursor[TupleRow], tallies: Sequence[tuple[_Key, _Tally]], with_new: Sequence[UUID]) -> None:
    """Keep the bound on addresses, and tell the list of credentials what is in use."""
    if with_new:
        curs.execute(_FORGET_OLDEST, (with_new, ADDRESSES_MAX))
    used = _merged((key[:1], tally) for key, tally in tallies if key[2] is Code.VALID)
    curs.execute(_SEEN, (_ids(used), _last_times(used)))


def _array(values: Iterable[str]) -> str:
    """An array as PostgreSQL reads it, of texts that need no quotes: ids, numbers, times, addresses, codes.

    psycopg's own way looks at each for what to quote, which took as long as verifying.
    """
    return f"{{{','.join(values)}}}"


def _ids(merged: Sequence[tuple[tuple[Any, ...], _Tally]]) -> str:
    return _array(f"{key[0]:032x}" for key, _ in merged)


def _counts(merged: Sequence[tuple[tuple[Any, ...], _Tally]]) -> str:
    return _array(str(tally.count) for _, tally in merged)


def _last_times(merged: Sequence[tuple[tuple[Any, ...], _Tally]]) -> str:
    return _array(tally.last.isoformat() for _, tally in merged)


# --- queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """How a credential was used, as far as that is kept (`Settings.usage_days`).

    `addresses` are rows of `address_usage`, the newest use first, a hundred at most; `days` of `day` and `codes`
    ({code: how often}), the newest first.
    """

    addresses: Sequence[dict[str, Any]]
    days: Sequence[dict[str, Any]]


def find_usage(store: LedgerDatastore, credential_id: UUID) -> Usage:
    """What was written of a credential's usage; nothing for one that nobody knows."""
    addresses = store.rows(
        "SELECT version, address, uses, first_used_at, last_used_at FROM address_usage WHERE credential_id = %s "
        "ORDER BY last_used_at DESC, version DESC, address LIMIT %s",
        (credential_id, ADDRESSES_MAX),
    )
    days = store.rows(
        "SELECT day, jsonb_object_agg(code, verifications) AS codes FROM verification_count WHERE credential_id = %s "
        "GROUP BY day ORDER BY day DESC",
        (credential_id,),
    )
    return Usage(addresses, days)
