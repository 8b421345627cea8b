"""What the trees are asked for: checkpoints, tiles, entries and proofs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from ledger.tlog import merkle, tiles
from ledger.tlog.merkle import HASH_BYTES, Frontier, Hashes, leaf_hash
from ledger.tlog.tiles import WIDTH, InvalidTile
from projections.sealed.trees import ROOT, Connection, Tree, entries, fetch, find_trees, stored_tiles

Walked = TypeVar("Walked")


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """Where an event's leaf is: its tree and index, the entry, and the salt of its digest."""

    tree: UUID
    index: int
    entry: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class SealedHead:
    """Where a tree's head was entered into the root tree: the leaf, the salt, and the checkpoint's three values."""

    index: int
    entry: bytes
    salt: bytes
    origin: str
    size: int
    root: bytes


def find_tree(connection: Connection, tree: UUID) -> Tree | None:
    """A tree with its newest signed checkpoint; None where nothing was sealed in it yet."""
    return find_trees(connection, [tree]).get(tree)


def find_tile(connection: Connection, tree: UUID, level: int, index: int, width: int) -> bytes:
    """The first `width` hashes of a tile; shorter where there are not so many."""
    return stored_tiles(connection, tree, [(level, index)])[level, index][: width * HASH_BYTES]


def find_bundle(connection: Connection, tree: UUID, index: int, width: int) -> list[bytes]:
    """The first `width` entries of an entry bundle; fewer where there are not so many."""
    return entries(connection, tree, index * WIDTH, index * WIDTH + width)


def reader(connection: Connection, tree: UUID, size: int) -> Hashes:
    """Reads the tree of `size` leaves, a tile at a time; for what reads on from where it came to."""
    return tiles.reader_of_tiles(size, lambda level, index, width: find_tile(connection, tree, level, index, width))


def walked(connection: Connection, tree: UUID, size: int, walk: Callable[[Hashes], Walked]) -> Walked:
    """What `walk` makes of what it reads of the tree of `size` leaves, which is fetched in one look.

    Raises `tiles.InvalidTile` where the tree has not so many leaves, and what `walk` raises.
    """
    stored = stored_tiles(connection, tree, tiles.tiles_read(walk))
    return walk(tiles.reader_of_tiles(size, lambda level, index, width: stored[level, index][: width * HASH_BYTES]))


def frontier_at(connection: Connection, tree: UUID, size: int) -> Frontier:
    """The right edge of the tree when it had so many leaves. Raises `tiles.InvalidTile` where it has not."""
    return walked(connection, tree, size, partial(Frontier.of, size))


def roots_at(connection: Connection, sizes: Mapping[UUID, int]) -> dict[UUID, bytes]:
    """The roots that trees had at these sizes, as tiles and leaves give them now; none of a tree that lacks some.

    Trees smaller than a tile are read together: there may be as many of them as there are organisations.
    """
    small = {tree: size for tree, size in sizes.items() if size < WIDTH and tree != ROOT}
    hashes: dict[UUID, list[bytes]] = {tree: [] for tree in small}
    for tree, entry in fetch(
        connection,
        "SELECT l.tree, l.entry FROM unnest(%s::uuid[], %s::bigint[]) AS w (tree, size) "
        "JOIN sealed_leaf l ON l.tree = w.tree AND l.leaf_index < w.size ORDER BY l.tree, l.leaf_index",
        (list(small), list(small.values())),
    ):
        hashes[tree].append(leaf_hash(entry))
    roots = {}
    for tree, size in sizes.items():
        frontier = Frontier()
        if tree in small:
            frontier.extend(hashes[tree])
        else:
            with suppress(InvalidTile):
                frontier = frontier_at(connection, tree, size)
        if frontier.size == size:
            roots[tree] = frontier.root()
    return roots


def find_event(connection: Connection, aggregate_id: UUID, aggregate_version: int) -> SealedEvent | None:
    """The leaf of an event; None where it is not sealed yet."""
    rows = fetch(
        connection,
        "SELECT tree, leaf_index, entry, salt FROM sealed_leaf WHERE aggregate_id = %s AND aggregate_version = %s",
        (aggregate_id, aggregate_version),
    )
    return SealedEvent(*rows[0]) if rows else None


def find_head(connection: Connection, tree: UUID, size: int) -> SealedHead | None:
    """The leaf of the root tree that holds a tree's head of this size; the newest, should there be several."""
    rows = fetch(
        connection,
        "SELECT leaf_index, entry, salt, origin, size, root FROM sealed_head WHERE tree = %s AND size = %s "
        "ORDER BY leaf_index DESC LIMIT 1",
        (tree, size),
    )
    return SealedHead(*rows[0]) if rows else None


def first_head_over(connection: Connection, tree: UUID, index: int) -> SealedHead | None:
    """The first head of a tree, as it was entered into the root tree, that has the leaf at this index."""
    rows = fetch(
        connection,
        "SELECT leaf_index, entry, salt, origin, size, root FROM sealed_head WHERE tree = %s AND size > %s "
        "ORDER BY size, leaf_index LIMIT 1",
        (tree, index),
    )
    return SealedHead(*rows[0]) if rows else None


def inclusion_proof(connection: Connection, tree: UUID, index: int, size: int) -> list[bytes]:
    """What proves that a leaf is in the tree of `size` leaves (RFC 6962 section 2.1.1)."""
    return walked(connection, tree, size, partial(merkle.inclusion_proof, index, size))


def consistency_proof(connection: Connection, tree: UUID, old: int, new: int) -> list[bytes]:
    """What proves that the tree of `new` leaves begins with that of `old` (RFC 6962 section 2.1.2)."""
    return walked(connection, tree, new, partial(merkle.consistency_proof, old, new))
