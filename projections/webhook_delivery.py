"""Deliveries of messages to webhook endpoints: queued from the log, due one after the other, kept for a while.

The log is followed as views follow it, from a position in `projection_tracking` that moves on in the transaction that
queues; a message is queued once for each endpoint, whatever is interrupted. Deliveries themselves are no view: what was
sent is not in the log, and a rebuild leaves them alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from ledger.events import Recorded
from ledger.store.datastore import LedgerDatastore
from ledger.store.log import EventLog
from projections.credential_list import DUE, LIVE, set_before
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page
from projections.reports import EXPIRING_DAYS
from projections.runner import Fenced
from projections.webhook_messages import EVENTS, FACT_NAMES, FACTS, Message, of_event, of_notice, of_test

TRACKING = "webhook_delivery"
BATCH = 500  # events or notices a transaction, which takes milliseconds for each endpoint
RESPONSE_CHARS_MAX = 1_000  # enough of an error page to tell what is wrong

# After each failure, as Standard Webhooks proposes: three days in all, so a weekend's outage is survived.
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)


# --- queueing what happened ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An endpoint that is sent messages: those of these types (none: all) that were recorded after a position."""

    endpoint_id: UUID
    organisation_id: UUID
    event_types: Sequence[str]
    since: int

    def wants(self, type_: str) -> bool:
        return not self.event_types or type_ in self.event_types


def queue_events(log: EventLog, connection: psycopg.Connection[Any]) -> int:
    """Queue what the next events of the log mean for endpoints; returns how many events those were, 0 at its end.

    Raises `Fenced` where the position is not there: another process is about to begin with it.
    """
    ahead = connection.execute(
        "SELECT t.position < h.position FROM projection_tracking t, ledger_head h WHERE t.name = %s", (TRACKING,)
    ).fetchone()
    if ahead is not None and not ahead[0]:
        return 0
    with connection.transaction():
        row = connection.execute(
            "SELECT position FROM projection_tracking WHERE name = %s FOR UPDATE", (TRACKING,)
        ).fetchone()
        if row is None:
            raise Fenced
        head = log.head(connection=connection)  # before the endpoints: one that is not seen begins after it
        endpoints = _endpoints(connection)
        begin = max(int(row[0]), min((endpoint.since for endpoint in endpoints), default=head))
        events = log.read(begin, BATCH, sealed=True, connection=connection) if begin < head else []
        end = events[-1].position if events else head
        _queue(connection, _messages(connection, events, endpoints))
        connection.execute(
            "UPDATE projection_tracking SET position = %s, updated_at = now() WHERE name = %s", (end, TRACKING)
        )
    return len(events)


def _endpoints(connection: psycopg.Connection[Any]) -> list[_Endpoint]:
    rows = connection.execute(
        "SELECT s.endpoint_id, s.organisation_id, s.event_types, e.notification_id FROM webhook_endpoint_status s "
        "JOIN ledger_events e ON e.originator_id = s.endpoint_id AND e.originator_version = 1 "
        "WHERE s.removed_at IS NULL AND s.disabled_at IS NULL"
    )
    return [_Endpoint(*row) for row in rows]


def _messages(
    connection: psycopg.Connection[Any], events: Sequence[Recorded], endpoints: Sequence[_Endpoint]
) -> Iterator[tuple[_Endpoint, UUID, Message]]:
    """For each endpoint that is to be told of some events, in the log's order: of which credential, and what."""
    told = [
        (one, interested)
        for one in events
        if type(one.event) in EVENTS
        and (
            interested := [
                endpoint
                for endpoint in endpoints
                if endpoint.organisation_id == one.organisation_id
                and endpoint.since < one.position
                and endpoint.wants(one.event.TOPIC)
            ]
        )
    ]
    facts = _facts(connection, {one.aggregate_id for one, _ in told}) if told else {}
    for one, interested in told:
        message = of_event(one, facts[one.aggregate_id])
        for endpoint in interested:
            yield endpoint, one.aggregate_id, message


def _facts(connection: psycopg.Connection[Any], credential_ids: set[UUID]) -> dict[UUID, Mapping[str, Any]]:
    with connection.cursor(row_factory=dict_row) as curs:
        curs.execute(
            f"SELECT c.credential_id, {FACTS} FROM credential_status c WHERE c.credential_id = ANY(%s)",  # noqa: S608
            (list(credential_ids),),
        )
        return {row.pop("credential_id"): row for row in curs}


def _queue(connection: psycopg.Connection[Any], messages: Iterator[tuple[_Endpoint, UUID, Message]]) -> None:
    rows = [
        (endpoint.organisation_id, endpoint.endpoint_id, credential_id, message.id, message.type, message.body)
        for endpoint, credential_id, message in messages
    ]
    with connection.cursor() as curs:
        curs.executemany(
            "INSERT INTO webhook_delivery (organisation_id, endpoint_id, credential_id, message_id, type, body) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            rows,
        )


def queue_test(
    store: LedgerDatastore, organisation_id: UUID, endpoint_id: UUID, now: datetime, key: str | None = None
) -> UUID:
    """Queue a message that tries an endpoint; returns its delivery's id. One that still waits is the one asked for, and
    so is the one of the same `key`, sent or not: who asks twice under it, as by a double click, asked once.

    It stands at the end of the schedule of retries, so it is sent once: whoever tries an endpoint looks at what came of
    it and tries again. What it is about, in the place of a credential, is the endpoint.
    """
    message = of_test(organisation_id, endpoint_id, now, key)
    row = store.row(
        "WITH asked AS (SELECT delivery_id FROM webhook_delivery "
        "WHERE endpoint_id = %(endpoint)s AND message_id = %(id)s), "
        "waiting AS (SELECT * FROM asked UNION ALL (SELECT delivery_id FROM webhook_delivery "
        "WHERE endpoint_id = %(endpoint)s AND credential_id = %(endpoint)s AND finished_at IS NULL "
        "AND NOT EXISTS (SELECT FROM asked) LIMIT 1)), "
        "made AS (INSERT INTO webhook_delivery "
        "(organisation_id, endpoint_id, credential_id, message_id, type, body, failures) "
        "SELECT %(organisation)s, %(endpoint)s, %(endpoint)s, %(id)s, %(type)s, %(body)s, %(failures)s "
        "WHERE NOT EXISTS (SELECT FROM waiting) "
        # The other of two at once under a key: it changes nothing, and answers with the first one's id.
        "ON CONFLICT (endpoint_id, message_id) DO UPDATE SET message_id = EXCLUDED.message_id RETURNING delivery_id) "
        "SELECT delivery_id FROM waiting UNION ALL SELECT delivery_id FROM made",
        {
            "organisation": organisation_id,
            "endpoint": endpoint_id,
            "id": message.id,
            "type": message.type,
            "body": message.body,
            "failures": len(RETRY_SECONDS),
        },
    )
    if row is None:
        raise RuntimeError("neither a test that waits nor a new one")
    delivery_id: UUID = row["delivery_id"]
    return delivery_id


# --- queueing what comes of time -------------------------------------------------------------------------------------

# For each notice, which date it is about, which credentials of an organisation it is due for, and in which order of an
# index (`credential_list_due`, `credential_list_ends`) those are looked through.
_NOTICES: Mapping[str, tuple[str, str, str]] = {
    "credential.rotation_due": ("c.secret_set_at + %(period)s", DUE, "secret_set_at"),
    "credential.expiring": (
        "c.expires_at",
        f"{LIVE} AND c.over_at < %(expiring_before)s AND c.over_at = c.expires_at",
        "over_at",
    ),
}


def queue_notices(connection: psycopg.Connection[Any], now: datetime, rotation_days: int) -> Iterator[int]:
    """Queue a notice of each date that has come and was not told of yet; yields how many after each batch.

    Rotation is told of when it is due, an expiry a month ahead. Dates that came before an organisation had an endpoint
    are told of as soon as it has one.
    """
    endpoints = _endpoints(connection)
    for type_ in _NOTICES:
        interested: dict[UUID, list[_Endpoint]] = {}
        for endpoint in endpoints:
            if endpoint.wants(type_):
                interested.setdefault(endpoint.organisation_id, []).append(endpoint)
        for organisation_id, of_organisation in interested.items():
            yield from _queue_notices_of(connection, type_, organisation_id, of_organisation, now, rotation_days)


def _queue_notices_of(
    connection: psycopg.Connection[Any],
    type_: str,
    organisation_id: UUID,
    endpoints: Sequence[_Endpoint],
    now: datetime,
    rotation_days: int,
) -> Iterator[int]:
    date, condition, order = _NOTICES[type_]
    query = (
        f"SELECT c.credential_id, c.{order} AS since, {date} AS due_at, {FACTS} "  # noqa: S608
        "FROM credential_list c LEFT JOIN webhook_notice n ON n.credential_id = c.credential_id AND n.type = %(type)s "
        f"WHERE c.organisation_id = %(organisation)s AND (c.{order}, c.credential_id) > (%(since)s, %(after)s) "
        f"AND {condition} AND n.due_at IS DISTINCT FROM {date} "
        f"ORDER BY c.{order}, c.credential_id LIMIT %(limit)s"
    )
    parameters = {
        "type": type_,
        "organisation": organisation_id,
        "now": now,
        "period": timedelta(days=rotation_days),
        "set_before": set_before(now, rotation_days),
        "expiring_before": now + timedelta(days=EXPIRING_DAYS),
        "limit": BATCH,
    }
    since, after = "-infinity", UUID(int=0)
    while True:
        with connection.transaction(), connection.cursor(row_factory=dict_row) as curs:
            rows = curs.execute(query.encode(), {**parameters, "since": since, "after": after}).fetchall()
            messages = [
                of_notice(
                    type_,
                    organisation_id,
                    row["credential_id"],
                    {name: row[name] for name in FACT_NAMES},
                    row["due_at"],
                    now,
                )
                for row in rows
            ]
            _queue(
                connection,
                (
                    (endpoint, row["credential_id"], message)
                    for row, message in zip(rows, messages, strict=True)
                    for endpoint in endpoints
                ),
            )
            curs.executemany(
                "INSERT INTO webhook_notice (credential_id, type, due_at) VALUES (%s, %s, %s) "
                "ON CONFLICT (credential_id, type) DO UPDATE SET due_at = EXCLUDED.due_at",
                [(row["credential_id"], type_, row["due_at"]) for row in rows],
            )
        yield len(rows)
        if len(rows) < BATCH:
            return
        since, after = rows[-1]["since"], rows[-1]["credential_id"]


# --- sending ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """What is to be sent now. `failures` counts those since it was queued or replayed."""

    sequence: int
    organisation_id: UUID
    endpoint_id: UUID
    message_id: str
    body: str
    failures: int


# How far each endpoint's messages that are due are looked through, at most. Of those that wait for another one of their
# credential only those can be among them whose other is on its way, as the rest is put off (`put_off`).
LOOKED_THROUGH_MAX = 1_000
STUCK_MAX = 3  # endpoints at which messages are put off at once: each takes some tenths of a second, and sending waits

# The first message of a credential that an endpoint did not take yet: that of `{row}`, if none is before it. The order
# names all columns of one index (`webhook_delivery_order`), so that nothing else is read however the table is filled.
_FIRST = """
SELECT b.sequence, b.next_attempt_at FROM webhook_delivery b
WHERE b.finished_at IS NULL AND (b.endpoint_id, b.credential_id) >= ({row}.endpoint_id, {row}.credential_id)
ORDER BY b.endpoint_id, b.credential_id, b.sequence LIMIT 1
"""
_LOOKED_THROUGH = """
SELECT * FROM webhook_delivery
WHERE endpoint_id = e.endpoint_id AND finished_at IS NULL AND next_attempt_at <= %(now)s
AND sequence <> ALL (%(sent_now)s) ORDER BY next_attempt_at, sequence LIMIT {limit}
"""
_DUE = f"""
SELECT d.sequence, e.organisation_id, e.endpoint_id, d.message_id, d.body, d.failures
FROM webhook_endpoint_status e CROSS JOIN LATERAL (
    SELECT w.* FROM ({_LOOKED_THROUGH.format(limit=LOOKED_THROUGH_MAX)}) w
    CROSS JOIN LATERAL ({_FIRST.format(row="w")}) b WHERE b.sequence = w.sequence
    ORDER BY w.next_attempt_at, w.sequence LIMIT %(each)s) d
WHERE e.removed_at IS NULL AND e.disabled_at IS NULL AND e.endpoint_id <> ALL (%(busy)s)
ORDER BY cardinality(array_positions(%(organisations)s::uuid[], e.organisation_id))
    + row_number() OVER (PARTITION BY e.organisation_id ORDER BY d.next_attempt_at, d.sequence),
    d.next_attempt_at, d.sequence LIMIT %(limit)s
"""  # noqa: S608 - constants of ours
# Each part of these needs the one before, so there is one order in which PostgreSQL can read them.
_STUCK = f"""
SELECT e.endpoint_id FROM webhook_endpoint_status e
CROSS JOIN LATERAL ({_LOOKED_THROUGH.format(limit=1)}) w
CROSS JOIN LATERAL ({_FIRST.format(row="w")}) b
WHERE e.removed_at IS NULL AND e.disabled_at IS NULL AND b.next_attempt_at > %(now)s
ORDER BY random() LIMIT {STUCK_MAX}
"""  # noqa: S608 - constants of ours
_LATE = f"""
SELECT b.next_attempt_at, w.sequence FROM webhook_endpoint_status e
CROSS JOIN LATERAL ({_LOOKED_THROUGH.format(limit=LOOKED_THROUGH_MAX)}) w
CROSS JOIN LATERAL ({_FIRST.format(row="w")}) b
WHERE e.endpoint_id = %(endpoint)s AND b.next_attempt_at > %(now)s
"""  # noqa: S608 - constants of ours


def put_off(connection: psycopg.Connection[Any], now: datetime, sent_now: Sequence[DueDelivery] = ()) -> int:
    """Have messages that wait for another one of their credential be due when that one is; returns how many.

    Only where the oldest that is due at an endpoint is such a one: what can be sent is then behind it. So whoever looks
    for what is due does not pass by all that waits, which is every credential's next message where an endpoint fails.
    What is put off is due at once when the one before is taken or given up (`record_attempt`).
    """
    parameters = {"now": now, "sent_now": [one.sequence for one in sent_now]}
    number = 0
    for (endpoint_id,) in connection.execute(_STUCK, parameters).fetchall():
        with connection.transaction(), connection.cursor() as curs:
            late = curs.execute(_LATE, {**parameters, "endpoint": endpoint_id}).fetchall()
            curs.executemany("UPDATE webhook_delivery SET next_attempt_at = %s WHERE sequence = %s", late)
        number += len(late)
    return number


def list_due(
    connection: psycopg.Connection[Any],
    now: datetime,
    *,
    sent_now: Sequence[DueDelivery] = (),
    busy: Sequence[UUID] = (),
    each: int,
    limit: int,
) -> list[DueDelivery]:
    """What is to be sent now: of each endpoint a few, so that one with many does not hold the others up; and first that
    of organisations with the fewest on their way, so that none waits behind all that is left of another one.

    Of a credential's messages to an endpoint only the first that is not finished. Without those that are being sent
    now, and without endpoints that are busy with as many as they may be.
    """
    query, parameters = due_query(now, sent_now, busy, each, limit)
    rows = connection.execute(query, parameters)
    return [DueDelivery(*row) for row in rows]


def due_query(
    now: datetime, sent_now: Sequence[DueDelivery], busy: Sequence[UUID], each: int, limit: int
) -> tuple[str, dict[str, Any]]:
    """The query behind `list_due`, and its parameters."""
    return _DUE, {
        "now": now,
        "sent_now": [one.sequence for one in sent_now],
        "organisations": [one.organisation_id for one in sent_now],
        "busy": list(busy),
        "each": each,
        "limit": limit,
    }


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sending a message once: the answer's status, or an `error` where there was no answer."""

    at: datetime
    milliseconds: int
    status: int | None
    error: str = ""
    response: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


# It failed, and somebody had it replayed while it was on its way: that stands, as if it had been said a moment later.
_REPLAYED = "NOT %(delivered)s AND failures < %(failures)s"
# It failed, and whoever leads by now sent it meanwhile, to its end: that stands too. A process whose connection was
# lost leads no more, and what it has on its way ends up to an attempt later.
_OVER = "NOT %(delivered)s AND finished_at IS NOT NULL"
_RECORD = f"""
WITH d AS (
    UPDATE webhook_delivery SET attempts = attempts + 1, delivered = delivered OR %(delivered)s,
        failures = failures + CASE WHEN %(delivered)s OR {_REPLAYED} OR {_OVER} THEN 0 ELSE 1 END,
        next_attempt_at = CASE WHEN {_REPLAYED} OR {_OVER} THEN next_attempt_at
            ELSE coalesce(%(next)s, next_attempt_at) END,
        finished_at = CASE WHEN {_OVER} THEN finished_at
            WHEN {_REPLAYED} OR %(next)s::timestamptz IS NOT NULL THEN NULL ELSE now() END
    WHERE sequence = %(sequence)s RETURNING sequence, endpoint_id, credential_id, attempts, finished_at),
next AS (
    UPDATE webhook_delivery SET next_attempt_at = now() WHERE next_attempt_at > now() AND sequence = (
        SELECT b.sequence FROM d CROSS JOIN LATERAL (
            SELECT n.sequence, n.endpoint_id, n.credential_id FROM webhook_delivery n WHERE n.finished_at IS NULL
            AND (n.endpoint_id, n.credential_id, n.sequence) > (d.endpoint_id, d.credential_id, d.sequence)
            ORDER BY n.endpoint_id, n.credential_id, n.sequence LIMIT 1) b
        WHERE d.finished_at IS NOT NULL AND (b.endpoint_id, b.credential_id) = (d.endpoint_id, d.credential_id)))
INSERT INTO webhook_attempt (sequence, attempt, at, milliseconds, status, error, response)
SELECT sequence, attempts, %(at)s, %(milliseconds)s, %(status)s, %(error)s, %(response)s FROM d
"""  # noqa: S608 - constants of ours


def record_attempt(store: LedgerDatastore, delivery: DueDelivery, attempt: Attempt, next_at: datetime | None) -> None:
    """Remember what came of an attempt. `next_at` is when the next one is due; None ends the delivery."""
    with store.cursor_of_tuples() as curs:
        curs.execute(
            _RECORD,
            {
                "sequence": delivery.sequence,
                "failures": delivery.failures,
                "delivered": attempt.delivered,
                "next": next_at,
                "at": attempt.at,
                "milliseconds": attempt.milliseconds,
                "status": attempt.status,
                "error": attempt.error,
                "response": attempt.response[:RESPONSE_CHARS_MAX],
            },
        )


# --- the delivery log ------------------------------------------------------------------------------------------------

# What a delivery is, in a word.
STATUSES: Mapping[str, str] = {
    "pending": "d.finished_at IS NULL",
    "delivered": "d.finished_at IS NOT NULL AND d.delivered",
    "failed": "d.finished_at IS NOT NULL AND NOT d.delivered",
}
_SELECT = (
    "SELECT d.*, a.at AS last_attempt_at, a.status AS last_status, a.error AS last_error FROM webhook_delivery d "
    "LEFT JOIN webhook_attempt a ON a.sequence = d.sequence AND a.attempt = d.attempts "
)


def list_deliveries(
    store: LedgerDatastore,
    endpoint_id: UUID,
    status: str | None = None,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """A page of what was queued for an endpoint, newest first, each with what came of its last attempt.

    Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    of = ("deliveries", endpoint_id, status)
    parameters: dict[str, Any] = {"endpoint": endpoint_id, "limit": checked_limit(limit) + 1}
    conditions = ["d.endpoint_id = %(endpoint)s"]
    if status is not None:
        conditions.append(STATUSES[status])
    if cursor is not None:
        parameters["before"] = decode_cursor(cursor, tuple[int], of)[0]
        conditions.append("d.sequence < %(before)s")
    rows = rows_of_page(
        store, f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY d.sequence DESC LIMIT %(limit)s", parameters
    )
    if len(rows) <= limit:
        return Page(rows, None)
    rows.pop()
    return Page(rows, encode_cursor((rows[-1]["sequence"],), of))


def find_delivery(store: LedgerDatastore, endpoint_id: UUID, delivery_id: UUID) -> dict[str, Any] | None:
    """One delivery's row, with all its `log` of attempts; None where the endpoint has no such one (any more)."""
    row = store.row(
        f"{_SELECT} WHERE d.delivery_id = %s AND d.endpoint_id = %s",
        (delivery_id, endpoint_id),
    )
    if row is None:
        return None
    return row | {
        "log": store.rows("SELECT * FROM webhook_attempt WHERE sequence = %s ORDER BY attempt", (row["sequence"],))
    }


def replay(store: LedgerDatastore, endpoint_id: UUID, delivery_id: UUID, attempts: int | None = None) -> bool:
    """Have a message sent again, as soon as may be and with all retries from the beginning.

    Under its own id, so that a receiver who had it knows. False where there is no such delivery (any more), and where
    there were more `attempts` by now than whoever asks has seen, if they say: it was sent again meanwhile.
    """
    return (
        store.row(
            "UPDATE webhook_delivery SET finished_at = NULL, delivered = false, failures = 0, next_attempt_at = now() "
            "WHERE delivery_id = %s AND endpoint_id = %s AND attempts <= coalesce(%s, attempts) RETURNING 1 AS one",
            (delivery_id, endpoint_id, attempts),
        )
        is not None
    )
