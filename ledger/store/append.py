"""What one command wants recorded, and how it is encoded for the database on its caller's own thread.

Encoding before queueing spares the leader of a batch, which holds the head's lock; and what cannot be encoded fails
its own command before it has any company.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent
from psycopg import sql

from ledger.errors import InvalidValue
from ledger.store.keys import WrappedKey
from ledger.store.pipeline import TEXT_OID, UUID_OID, Statement, array, bigint, element

_BIGINT, _BYTEA, _JSON = 20, 17, 114  # pg_type.oid, fixed for all time
_UUIDS, _BIGINTS, _TEXTS, _BYTEAS = 2951, 1016, 1009, 1001  # and of their arrays

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IdempotencyEntry:
    """What is remembered of a request under its Idempotency-Key: whose, what was asked, and the sealed answer."""

    actor: str
    key: str
    fingerprint: bytes
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class InlineTable:
    """A table that is written in the events' own transaction: whole rows, inserted or replaced by their key."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def upsert(self, placeholder: LiteralString = "%s") -> sql.Composed:
        """Rows from one JSON array. The server parses it, which costs the client one call however many there are."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        others = [column for column in self.columns if column not in self.key]
        return sql.SQL(
            "INSERT INTO {table} ({columns}) "
            "SELECT {columns} FROM json_populate_recordset(NULL::{table}, {placeholder}::json) "
            "ON CONFLICT ({key}) DO UPDATE SET {changes}"
        ).format(
            table=sql.Identifier(self.name),
            columns=columns,
            placeholder=sql.SQL(placeholder),
            key=sql.SQL(", ").join(map(sql.Identifier, self.key)),
            changes=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c)) for c in others),
        )


class Claim(NamedTuple):
    """A name to take that only one aggregate may have. `over` is the aggregate it is taken from, if that has it."""

    claim: str
    name: str
    over: UUID | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """All that one command wants recorded: all of it, or none. The events are of one aggregate, versions in a row."""

    events: Sequence[StoredEvent]
    organisation_id: UUID | None = None
    claims: Sequence[Claim] = ()
    releases_claims: bool = False
    data_key: WrappedKey | None = None
    destroys_data_key: bool = False
    idempotency: IdempotencyEntry | None = None
    rows: Mapping[InlineTable, Sequence[Row]] = field(default_factory=dict)


# --- what is sent ----------------------------------------------------------------------------------------------------

EVENTS = Statement(
    b"events",
    b"INSERT INTO ledger_events (originator_id, originator_version, topic, state, organisation_id, notification_id) "
    b"SELECT * FROM unnest($1, $2, $3, $4, $5, $6)",
    (_UUIDS, _BIGINTS, _TEXTS, _BYTEAS, _UUIDS, _BIGINTS),
)
# A name changes hands only from the one who was seen to have it: otherwise taking it is refused below.
TAKEN_OVER_CLAIMS = Statement(
    b"taken_over_claims",
    b"DELETE FROM ledger_claims c USING unnest($1, $2, $3) AS w (claim, name, holder) "
    b"WHERE c.claim = w.claim AND c.name = w.name AND c.aggregate_id = w.holder",
    (_TEXTS, _TEXTS, _UUIDS),
)
CLAIMS = Statement(
    b"claims",
    b"INSERT INTO ledger_claims (claim, name, aggregate_id) SELECT * FROM unnest($1, $2, $3)",
    (_TEXTS, _TEXTS, _UUIDS),
)
DATA_KEYS = Statement(
    b"data_keys",
    b"INSERT INTO ledger_data_keys (aggregate_id, master_key_id, wrapped) SELECT * FROM unnest($1, $2, $3)",
    (_UUIDS, _TEXTS, _BYTEAS),
)
IDEMPOTENCY = Statement(
    b"idempotency",
    b"INSERT INTO ledger_idempotency (actor, key, fingerprint, aggregate_id, answer) "
    b"SELECT * FROM unnest($1, $2, $3, $4, $5)",
    (_TEXTS, _TEXTS, _BYTEAS, _UUIDS, _BYTEAS),
)
RELEASED_CLAIMS = Statement(b"released_claims", b"DELETE FROM ledger_claims WHERE aggregate_id = ANY($1)", (_UUIDS,))
# An answer that is kept for a retry may show what was personal; one that the same batch keeps was made after that.
FORGOTTEN_ANSWERS = Statement(
    b"forgotten_answers",
    b"UPDATE ledger_idempotency SET answer = NULL WHERE aggregate_id = ANY($1) AND answer IS NOT NULL",
    (_UUIDS,),
)
DESTROYED_DATA_KEYS = Statement(
    b"destroyed_data_keys", b"DELETE FROM ledger_data_keys WHERE aggregate_id = ANY($1)", (_UUIDS,)
)

# In this order a batch writes them, each where some command of it has something for it.
_IN_ORDER = (
    EVENTS,
    TAKEN_OVER_CLAIMS,
    CLAIMS,
    DATA_KEYS,
    FORGOTTEN_ANSWERS,
    IDEMPOTENCY,
    RELEASED_CLAIMS,
    DESTROYED_DATA_KEYS,
)
_ELEMENT_OIDS = {_UUIDS: UUID_OID, _BIGINTS: _BIGINT, _TEXTS: TEXT_OID, _BYTEAS: _BYTEA}


class Part(NamedTuple):
    """What one command adds to one statement: how many rows, and for each parameter their elements, encoded."""

    rows: int
    elements: Sequence[bytes]


class Packed(NamedTuple):
    """One command, encoded: all but the positions, which only the batch knows."""

    aggregate_id: UUID
    first: int
    last: int
    claims: Sequence[Claim]
    idempotency: tuple[str, str] | None
    parts: Mapping[Statement, Part]
    rows: Mapping[InlineTable, Sequence[tuple[tuple[Any, ...], bytes]]]
    first_state: bytes

    @property
    def events(self) -> int:
        """How many events there are."""
        return self.last - self.first + 1


def pack(append: Append) -> Packed:
    """The command encoded. Raises `InvalidValue` for what no database of ours can hold, and `ValueError` for events
    that are not of one aggregate in a row, which no input can cause.
    """
    events = append.events
    aggregate_id: UUID = events[0].originator_id  # type: ignore[assignment]  # this datastore's ids are UUIDs
    first, count = events[0].originator_version, len(events)
    for version, event in enumerate(events, first):
        if event.originator_id != aggregate_id or event.originator_version != version:
            raise ValueError("one command records events of one aggregate, versions in a row")
    own_id = element(aggregate_id.bytes)
    organisation = element(None if append.organisation_id is None else append.organisation_id.bytes)
    parts = {
        EVENTS: Part(
            count,
            (
                own_id * count,
                b"".join([element(bigint(version)) for version in range(first, first + count)]),
                _texts("topic", [event.topic for event in events]),
                b"".join([element(event.state) for event in events]),
                organisation * count,
            ),
        )
    }
    if append.claims:
        parts[CLAIMS] = _claims(append.claims, own_id * len(append.claims))
        taken_over = [claim for claim in append.claims if claim.over is not None]
        if taken_over:
            holders = b"".join([element(claim.over.bytes) for claim in taken_over if claim.over is not None])
            parts[TAKEN_OVER_CLAIMS] = _claims(taken_over, holders)
    if (key := append.data_key) is not None:
        parts[DATA_KEYS] = Part(
            1, (element(key.aggregate_id.bytes), _texts("master_key_id", [key.master_key_id]), element(key.wrapped))
        )
    if (entry := append.idempotency) is not None:
        parts[IDEMPOTENCY] = Part(
            1,
            (
                _texts("actor", [entry.actor]),
                _texts("idempotency_key", [entry.key]),
                element(entry.fingerprint),
                own_id,
                element(entry.answer),
            ),
        )
    if append.releases_claims:
        parts[RELEASED_CLAIMS] = Part(1, (own_id,))
    if append.destroys_data_key:
        parts[FORGOTTEN_ANSWERS] = parts[DESTROYED_DATA_KEYS] = Part(1, (own_id,))
    return Packed(
        aggregate_id,
        first,
        first + count - 1,
        append.claims,
        None if entry is None else (entry.actor, entry.key),
        parts,
        {table: [_row(table, row) for row in rows] for table, rows in append.rows.items() if rows},
        events[0].state,
    )


def _claims(claims: Sequence[Claim], holders: bytes) -> Part:
    kinds, names = _texts("claim", [c.claim for c in claims]), _texts(claims[0].claim, [c.name for c in claims])
    return Part(len(claims), (kinds, names, holders))


def merged(statement: Statement, parts: Sequence[Part]) -> list[bytes]:
    """The parameters of a statement that carries the rows of many commands."""
    rows = sum([part.rows for part in parts])
    return [
        array(_ELEMENT_OIDS[oid], rows, b"".join([part.elements[place] for part in parts]))
        for place, oid in enumerate(statement.oids[: len(parts[0].elements)])
    ]


def writes(accepted: Sequence[Packed], positions: Sequence[int]) -> list[tuple[Statement, Sequence[bytes]]]:
    """The statements that write a batch: its commands in order, their events at these positions."""
    calls: list[tuple[Statement, Sequence[bytes]]] = []
    for statement in _IN_ORDER:
        parts = [packed.parts[statement] for packed in accepted if statement in packed.parts]
        if parts:
            calls.append((statement, merged(statement, parts)))
    _, params = calls[0]
    taken = b"".join([element(bigint(position)) for position in positions])
    calls[0] = (EVENTS, [*params, array(_BIGINT, len(positions), taken)])
    return calls + _inline_writes(accepted)


def _inline_writes(accepted: Sequence[Packed]) -> list[tuple[Statement, Sequence[bytes]]]:
    """The inline views. Of several rows with one key in a batch only the last counts."""
    by_table: dict[InlineTable, dict[tuple[Any, ...], bytes]] = {}
    for packed in accepted:
        for table, rows in packed.rows.items():
            by_table.setdefault(table, {}).update(rows)
    return [(_upsert(table), (b"[%b]" % b",".join(rows.values()),)) for table, rows in by_table.items()]


_upserts: dict[InlineTable, Statement] = {}


def _upsert(table: InlineTable) -> Statement:
    if table not in _upserts:
        _upserts[table] = Statement(b"upsert_" + table.name.encode(), table.upsert("$1").as_bytes(), (_JSON,))
    return _upserts[table]


_encode = msgspec.json.Encoder(enc_hook=str).encode
# A NUL as JSON writes it: its backslash is not itself escaped.
_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _row(table: InlineTable, row: Row) -> tuple[tuple[Any, ...], bytes]:
    """A row's key and its JSON."""
    try:
        encoded = _encode(row)
    except UnicodeEncodeError:
        raise InvalidValue(_offender(row), "holds half of a surrogate pair") from None
    if b"\\u0000" in encoded and _NUL_IN_JSON.search(encoded):
        raise InvalidValue(_offender(row), "holds a NUL character")
    return tuple([row[column] for column in table.key]), encoded


def _offender(row: Row) -> str:
    """The column whose value PostgreSQL cannot hold."""
    for column, value in row.items():
        try:
            if _NUL_IN_JSON.search(_encode(value)):
                return column
        except UnicodeEncodeError:
            return column
    return "value"


def _texts(field: str, texts: Iterable[str]) -> bytes:
    """Elements of a text array, which cannot hold NUL nor half of a surrogate pair."""
    encoded = []
    for text in texts:
        try:
            value = text.encode()
        except UnicodeEncodeError:
            raise InvalidValue(field, "holds half of a surrogate pair") from None
        if b"\0" in value:
            raise InvalidValue(field, "holds a NUL character")
        encoded.append(element(value))
    return b"".join(encoded)
