"""The trees of one ledger as PostgreSQL holds them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from ledger.store.datastore import Params
from ledger.tlog import tiles
from ledger.tlog.merkle import HASH_BYTES, Frontier
from ledger.tlog.tiles import WIDTH

INSTALLATION = UUID(int=0)
"""The tree of what concerns no organisation: operators of all, the log's own keys (RFC 9562 section 5.9)."""
ROOT = UUID(int=2**128 - 1)
"""The tree whose leaves are the other trees' heads (RFC 9562 section 5.10)."""

Connection = psycopg.Connection[Any]


@dataclass(slots=True)
class Tree:
    """A tree as it stands: `frontier` is all it takes to go on, `label` its name in the root tree, and with `base` its
    origin begins.
    """

    tree: UUID
    label: str
    frontier: Frontier
    base: str = ""
    signed_size: int = 0
    checkpoint: str = ""
    signed_at: datetime | None = None

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return self.frontier.size


def tree_of(organisation_id: UUID | None) -> UUID:
    """The tree that an organisation's events are sealed in; the installation's for None."""
    return INSTALLATION if organisation_id is None else organisation_id


def origin_of(base: str, tree: UUID) -> str:
    """The origin of a tree's checkpoints (C2SP tlog-checkpoint), which is also the name of the key that signs them."""
    match tree:
        case _ if tree == ROOT:
            return f"{base}/root"
        case _ if tree == INSTALLATION:
            return f"{base}/installation"
    return f"{base}/organisations/{tree}"


COLUMNS = "tree, label, size, frontier, base, signed_size, checkpoint, signed_at"


def tree_from(row: Sequence[Any]) -> Tree:
    """A row of `COLUMNS`."""
    tree, label, size, frontier, *more = row
    return Tree(tree, label, frontier_from(size, frontier), *more)


def frontier_from(size: int, stored: bytes) -> Frontier:
    """A frontier from the hashes that were kept of it."""
    return Frontier(size, split(stored))


def split(hashes: bytes) -> list[bytes]:
    """The hashes that were joined."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def find_trees(connection: Connection, trees: Iterable[UUID]) -> dict[UUID, Tree]:
    """Those of these trees that there are."""
    rows = fetch(
        connection,
        f"SELECT {COLUMNS} FROM sealed_tree WHERE tree = ANY(%s)",  # noqa: S608 - texts of ours
        (list(trees),),
    )
    return {row[0]: tree_from(row) for row in rows}


def lock_trees(connection: Connection, trees: Iterable[UUID]) -> None:
    """Keep these trees' rows until the transaction ends. In one order: integrating and signing write them at once, and
    must not wait for each other in a ring.
    """
    fetch(connection, "SELECT FROM sealed_tree WHERE tree = ANY(%s) ORDER BY tree FOR UPDATE", (list(trees),))


def position_of(connection: Connection, name: str) -> int:
    """How far sealing or signing has come in the log, by the name under which that is tracked."""
    rows = fetch(connection, "SELECT position FROM projection_tracking WHERE name = %s", (name,))
    return int(rows[0][0]) if rows else 0


def fetch(connection: Connection, query: str, params: Params) -> list[tuple[Any, ...]]:
    """The rows of a query, whatever shape the connection gives rows otherwise."""
    with connection.cursor(row_factory=tuple_row) as curs:
        return curs.execute(query, params, prepare=True, binary=True).fetchall()


# --- tiles -----------------------------------------------------------------------------------------------------------


def write_tiles(connection: Connection, tree: UUID, old_size: int, leaf_hashes: Sequence[bytes]) -> None:
    """Write the tiles that became full, and those above them that grew, by leaves that came after `old_size` others."""
    if (old_size + len(leaf_hashes)) // WIDTH == old_size // WIDTH:
        return
    at_edge = tiles.edge_tiles(old_size)
    stored = stored_tiles(connection, tree, [(level, index) for level, index, _ in at_edge])
    edge = {level: stored[level, index][: width * HASH_BYTES] for level, index, width in at_edge}
    written = [
        (tree, level, index, hashes)
        for level, index, hashes in tiles.append(old_size, edge, leaf_hashes)
        if level > 0 or len(hashes) == WIDTH * HASH_BYTES
    ]
    with connection.cursor() as curs:
        curs.executemany(
            "INSERT INTO sealed_tile (tree, level, tile_index, hashes) VALUES (%b, %b, %b, %b) "
            "ON CONFLICT (tree, level, tile_index) DO UPDATE SET hashes = EXCLUDED.hashes",
            written,
        )


def stored_tiles(connection: Connection, tree: UUID, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """All that there is of some tiles, by level and index, in one look: of one of level 0 that is not full, the hashes
    of its leaves.
    """
    if not wanted:
        return {}
    of = "sealed_head l WHERE" if tree == ROOT else "sealed_leaf l WHERE l.tree = %(tree)s AND"
    rows = fetch(
        connection,
        "SELECT w.level, w.tile_index, coalesce(t.hashes, CASE w.level WHEN 0 THEN ("  # noqa: S608 - texts of ours
        "SELECT string_agg(sha256('\\x00'::bytea || l.entry), ''::bytea ORDER BY l.leaf_index) "
        f"FROM {of} l.leaf_index >= w.tile_index * {WIDTH} AND l.leaf_index < (w.tile_index + 1) * {WIDTH}"
        ") END, ''::bytea) FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[]) AS w (level, tile_index) "
        "LEFT JOIN sealed_tile t ON t.tree = %(tree)s AND t.level = w.level AND t.tile_index = w.tile_index",
        {"tree": tree, "levels": [level for level, _ in wanted], "indexes": [index for _, index in wanted]},
    )
    return {(level, index): bytes(hashes) for level, index, hashes in rows}


def entries(connection: Connection, tree: UUID, start: int, end: int) -> list[bytes]:
    """The entries of a tree's leaves from `start` and before `end`, as far as there are."""
    of = "sealed_head WHERE" if tree == ROOT else "sealed_leaf WHERE tree = %(tree)s AND"
    rows = fetch(
        connection,
        f"SELECT entry FROM {of} leaf_index >= %(start)s AND leaf_index < %(end)s ORDER BY leaf_index",  # noqa: S608
        {"tree": tree, "start": start, "end": end},
    )
    return [bytes(row[0]) for row in rows]
