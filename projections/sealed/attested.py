"""What others attest of the root log: which checkpoint a quorum of witnesses cosigned, which heads that one holds, and
timestamps. `api/attesting.py` asks them; docs/witnesses.md tells what it proves.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import IsolationLevel

from ledger.store.datastore import LedgerDatastore
from projections.runner import Lag, lag
from projections.sealed.signing import SIGNING
from projections.sealed.trees import ROOT, Connection, fetch, origin_of

WITNESSING = "witnessing"
"""The name under which the position is tracked up to which everything is in a head that a quorum cosigned."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A root checkpoint for witnesses to cosign. It holds every event up to `position`."""

    origin: str
    size: int
    checkpoint: str
    position: int


@dataclass(frozen=True, slots=True)
class Attested:
    """A signed checkpoint: the root's with its cosignatures, or that of a tree whose head it holds."""

    origin: str
    size: int
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What an authority answered (RFC 3161) when it was shown the text of a root checkpoint."""

    origin: str
    size: int
    checkpoint: str
    response: bytes
    stamped_at: datetime


@dataclass(frozen=True, slots=True)
class WitnessStatus:
    """What is known of a witness: the size it cosigned last, and what became of asking it last."""

    vkey: str
    name: str
    origin: str
    size: int
    cosigned_at: datetime | None
    asked_at: datetime
    outcome: str
    detail: str


# --- witnesses -------------------------------------------------------------------------------------------------------


def submit(connection: Connection, base: str) -> Submission | None:
    """The newest root checkpoint, to be cosigned, with which heads it holds written down; None where there is none.

    All of it is of one moment, in which each tree has one checkpoint: a moment later a busy tree has another, and the
    root checkpoint that was submitted does not hold its head.
    """
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            found = fetch(
                connection,
                "SELECT t.signed_size, t.checkpoint, p.position FROM sealed_tree t, projection_tracking p "
                "WHERE t.tree = %s AND t.base = %s AND t.signed_size > 0 AND p.name = %s",
                (ROOT, base, SIGNING),
            )
            if not found:
                return None
            submission = Submission(origin_of(base, ROOT), *found[0])
            connection.execute(
                "INSERT INTO witnessed_head (tree, submitted_origin, submitted_size, submitted_checkpoint) "
                "SELECT t.tree, h.origin, t.signed_size, t.checkpoint FROM sealed_tree t "
                "JOIN sealed_head h ON h.tree = t.tree AND h.size = t.signed_size AND h.leaf_index < %s "
                "LEFT JOIN witnessed_head w ON w.tree = t.tree "
                # After a restore a tree has a new origin, and its newest head in the root tree still the old one.
                "WHERE starts_with(t.checkpoint, h.origin || E'\\n') "
                "AND t.checkpoint IS DISTINCT FROM w.submitted_checkpoint "
                "ON CONFLICT (tree) DO UPDATE SET submitted_origin = excluded.submitted_origin, "
                "submitted_size = excluded.submitted_size, submitted_checkpoint = excluded.submitted_checkpoint",
                (submission.size,),
            )
    finally:
        connection.isolation_level = None
    return submission


def accept(connection: Connection, submission: Submission, cosigned: str, now: datetime) -> None:
    """Keep what a quorum cosigned: the submission that was made last, and with it the heads that it holds."""
    with connection.transaction():
        connection.execute(
            "INSERT INTO witnessed_root (origin, size, checkpoint, witnessed_at) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (single) DO UPDATE SET origin = excluded.origin, size = excluded.size, "
            "checkpoint = excluded.checkpoint, witnessed_at = excluded.witnessed_at",
            (submission.origin, submission.size, cosigned, now),
        )
        connection.execute(
            "UPDATE witnessed_head SET origin = submitted_origin, size = submitted_size, "
            "checkpoint = submitted_checkpoint WHERE checkpoint <> submitted_checkpoint"
        )
        connection.execute(
            "UPDATE projection_tracking SET position = %s, updated_at = now() WHERE name = %s",
            (submission.position, WITNESSING),
        )


def find_witnessed_root(connection: Connection, base: str) -> Attested | None:
    """The newest root checkpoint that a quorum cosigned under the name that the log has now."""
    rows = fetch(
        connection,
        "SELECT w.origin, w.size, w.checkpoint FROM witnessed_root w JOIN sealed_tree t ON t.tree = %s "
        "WHERE w.origin = %s AND w.size <= t.signed_size",
        (ROOT, origin_of(base, ROOT)),
    )
    return Attested(*rows[0]) if rows else None


def find_witnessed_head(connection: Connection, tree: UUID, base: str) -> Attested | None:
    """The newest checkpoint of a tree whose head is in the witnessed root checkpoint."""
    rows = fetch(
        connection,
        "SELECT origin, size, checkpoint FROM witnessed_head WHERE tree = %s AND origin = %s",
        (tree, origin_of(base, tree)),
    )
    return Attested(*rows[0]) if rows else None


def find_witnessed(connection: Connection, tree: UUID, base: str) -> tuple[Attested, Attested] | None:
    """The newest checkpoint of a tree whose head a witnessed root checkpoint holds, and that root checkpoint."""
    head = find_witnessed_head(connection, tree, base)
    root = find_witnessed_root(connection, base)  # in this order: one that is accepted meanwhile holds the head too
    return None if head is None or root is None else (head, root)


def witnessing_delay(store: LedgerDatastore) -> Lag:
    """How far the witnesses' quorum is behind the log. Only where witnesses are asked does it move."""
    return lag(store, [WITNESSING])[WITNESSING]


def cosigned_size(connection: Connection, vkey: str, origin: str) -> int:
    """The size of the root log that a witness is known to have cosigned last; 0 where nothing is known."""
    rows = fetch(connection, "SELECT size FROM witness WHERE vkey = %s AND origin = %s", (vkey, origin))
    return int(rows[0][0]) if rows else 0


def keep_status(connection: Connection, status: WitnessStatus) -> None:
    """Keep what became of asking a witness. What it cosigned last stays known where it did not cosign now."""
    connection.execute(
        "INSERT INTO witness (vkey, name, origin, size, cosigned_at, asked_at, outcome, detail) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (vkey) DO UPDATE SET name = excluded.name, "
        "origin = excluded.origin, size = excluded.size, "
        "cosigned_at = coalesce(excluded.cosigned_at, witness.cosigned_at), "
        "asked_at = excluded.asked_at, outcome = excluded.outcome, detail = excluded.detail",
        (
            status.vkey,
            status.name,
            status.origin,
            status.size,
            status.cosigned_at,
            status.asked_at,
            status.outcome,
            status.detail,
        ),
    )


def list_witnesses(connection: Connection, vkeys: list[str]) -> list[WitnessStatus]:
    """What is known of these witnesses, by name; those that were never asked are left out."""
    rows = fetch(
        connection,
        "SELECT vkey, name, origin, size, cosigned_at, asked_at, outcome, detail FROM witness "
        "WHERE vkey = ANY(%s) ORDER BY name",
        (vkeys,),
    )
    return [WitnessStatus(*row) for row in rows]


# --- timestamps ------------------------------------------------------------------------------------------------------

_TIMESTAMP = "SELECT origin, size, checkpoint, response, stamped_at FROM root_timestamp"


def keep_timestamp(connection: Connection, timestamp: Timestamp) -> None:
    """Keep a timestamp; an earlier one over the same checkpoint stays, as it proves more."""
    connection.execute(
        "INSERT INTO root_timestamp (origin, size, checkpoint, response, stamped_at) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        (timestamp.origin, timestamp.size, timestamp.checkpoint, timestamp.response, timestamp.stamped_at),
    )


def newest_timestamp(connection: Connection, base: str) -> Timestamp | None:
    """The timestamp over the largest root checkpoint."""
    rows = fetch(connection, f"{_TIMESTAMP} WHERE origin = %s ORDER BY size DESC LIMIT 1", (origin_of(base, ROOT),))
    return Timestamp(*rows[0]) if rows else None


def first_timestamp(connection: Connection, base: str, leaf_index: int) -> Timestamp | None:
    """The earliest timestamp over a root checkpoint that has this leaf."""
    rows = fetch(
        connection,
        f"{_TIMESTAMP} WHERE origin = %s AND size > %s ORDER BY size LIMIT 1",
        (origin_of(base, ROOT), leaf_index),
    )
    return Timestamp(*rows[0]) if rows else None
