"""Putting events into the trees: each a leaf of its organisation's, in the order of the log and without gaps.

One transaction takes what comes next in the log, writes leaves, tiles and the trees' new edges, and enters every head
that moved into the root tree. Nothing is signed here: `signing` reads again what was written before it does.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from uuid import UUID

import msgspec

from ledger.store.log import EventLog, Stored
from ledger.tlog import checkpoints, heads, leaves
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.heads import Head
from ledger.tlog.leaves import SALT_BYTES
from ledger.tlog.merkle import leaf_hash
from projections.sealed.trees import (
    INSTALLATION,
    ROOT,
    Connection,
    Tree,
    fetch,
    find_trees,
    lock_trees,
    origin_of,
    tree_of,
    write_tiles,
)

TRACKING = "sealing"
ROUND_EVENTS_MAX = 1_000  # measured: larger rounds gain little, and hold the trees' rows longer
ROWS_AT_ONCE = 100  # some ninety kilobytes, which is about what the socket takes
LABEL_BYTES = 16


class LogDamaged(Exception):
    """What is to be sealed is not what was recorded: events are missing, or stand where none should."""


class Rebased(Exception):
    """The trees go on under another origin by now than whoever integrates knows of: it begins again."""


class _Context(msgspec.Struct):
    at: str


class _Stamped(msgspec.Struct):
    """The one thing that a leaf takes out of an event; everything else in it is passed over."""

    context: _Context


_stamped = msgspec.json.Decoder(_Stamped).decode
_MOMENT_CHARS = len("2026-03-02T09:30:15.123456Z")


def _moment(stored: bytes) -> str:
    """When the event happened, as leaves have it: mostly as it is stored, but for whole seconds."""
    at = _stamped(stored).context.at
    if len(at) == _MOMENT_CHARS and at.endswith("Z"):
        return at
    return leaves.moment(at)


def entry_of(event: Stored, salt: bytes) -> bytes:
    """The leaf that stands for an event, as it is stored now."""
    return leaves.entry_of(
        event.aggregate_id,
        _moment(event.state),
        leaves.state_digest(salt, event.state),
        event.organisation_id or str(INSTALLATION),
        topic=event.topic,
        version=event.aggregate_version,
    )


def integrate(log: EventLog, connection: Connection, base: str, limit: int = ROUND_EVENTS_MAX) -> int:
    """Seal at most `limit` events that come next; returns how many. `base` is what origins begin with now.

    Raises `LogDamaged` where the log has a gap or an event that does not belong, and then seals none of these, and
    `Rebased` where the trees have another base.
    """
    with connection.transaction():
        position = _take_turn(connection)
        if log.head(connection=connection) < position:
            raise LogDamaged(f"the log ends before position {position}, up to which it was sealed")
        events = log.stored_after(position, limit, connection=connection)
        if not events:
            return 0
        end = position + len(events)
        if [event.position for event in events] != list(range(position + 1, end + 1)):
            raise LogDamaged(f"the log does not go on from position {position} without gaps")
        of_tree = _by_tree(events)
        trees = _trees(connection, [*of_tree, ROOT], base)
        if any(tree.base != base for tree in trees.values()):
            raise Rebased(f"the trees do not go on under {base}")
        _grow(connection, trees, of_tree)
        _enter_heads(connection, trees[ROOT], [trees[tree] for tree in of_tree], base)
        _keep(connection, trees.values())
        connection.execute(
            "UPDATE projection_tracking SET position = %s, updated_at = now() WHERE name = %s", (end, TRACKING)
        )
    return len(events)


def rebase(connection: Connection, base: str) -> None:
    """Have every tree go on under an origin that begins with this; what was signed under another is signed anew.

    The heads are entered into the root tree once more, as a head tells its origin.
    """
    with connection.transaction():
        _take_turn(connection)
        rows = fetch(
            connection,
            "UPDATE sealed_tree SET base = %(base)s, signed_size = 0, checkpoint = '' WHERE base <> %(base)s "
            "RETURNING tree",
            {"base": base},
        )
        moved = sorted(tree for (tree,) in rows if tree != ROOT)
        if moved:
            trees = find_trees(connection, [*moved, ROOT])
            _enter_heads(connection, trees[ROOT], [trees[tree] for tree in moved], base)
            _keep(connection, [trees[ROOT]])


def _take_turn(connection: Connection) -> int:
    """Keep the place up to which events are in the trees, until the transaction ends, and tell it. So the trees grow
    by one transaction at a time, whoever believes to lead.
    """
    row = connection.execute(
        "SELECT position FROM projection_tracking WHERE name = %s FOR UPDATE", (TRACKING,)
    ).fetchone()
    return int(row[0]) if row else 0


def _by_tree(events: Sequence[Stored]) -> Mapping[UUID, list[Stored]]:
    of_organisation: dict[str | None, list[Stored]] = {}
    for event in events:
        of_organisation.setdefault(event.organisation_id, []).append(event)
    return {tree_of(UUID(name) if name else None): some for name, some in of_organisation.items()}


def _trees(connection: Connection, wanted: Sequence[UUID], base: str) -> dict[UUID, Tree]:
    """The trees, those that are new begun."""
    found = find_trees(connection, wanted)
    new = [tree for tree in wanted if tree not in found]
    if not new:
        return found
    connection.execute(
        "INSERT INTO sealed_tree (tree, label, size, frontier, base) "
        "SELECT tree, label, 0, '', %s FROM unnest(%s::uuid[], %s::text[]) AS w (tree, label)",
        (base, new, [secrets.token_hex(LABEL_BYTES) for _ in new]),
    )
    return found | find_trees(connection, new)


def _grow(connection: Connection, trees: Mapping[UUID, Tree], of_tree: Mapping[UUID, Sequence[Stored]]) -> None:
    """Write the events' leaves and the tiles that they fill; the trees in memory go along."""
    hashes: dict[UUID, list[bytes]] = {tree: [] for tree in of_tree}
    rows = chain.from_iterable(_leaf_rows(trees[tree], events, hashes[tree]) for tree, events in of_tree.items())
    with (
        connection.cursor() as curs,
        curs.copy(
            "COPY sealed_leaf (tree, leaf_index, aggregate_id, aggregate_version, position, salt, entry) FROM STDIN"
        ) as copy,
    ):
        # PostgreSQL writes some while the next are made.
        while some := "".join(islice(rows, ROWS_AT_ONCE)):
            copy.write(some)
    for tree, added in hashes.items():
        write_tiles(connection, tree, trees[tree].size, added)
        trees[tree].frontier.extend(added)


def _leaf_rows(tree: Tree, events: Sequence[Stored], hashes: list[bytes]) -> Iterator[str]:
    """The leaves of a tree's events as COPY takes them; the hash of each goes to the end of `hashes`."""
    salts, name, begin = os.urandom(SALT_BYTES * len(events)), str(tree.tree), tree.size
    for number, event in enumerate(events):
        salt = salts[number * SALT_BYTES : (number + 1) * SALT_BYTES]
        entry = entry_of(event, salt)
        hashes.append(leaf_hash(entry))
        yield (
            f"{name}\t{begin + number}\t{event.aggregate_id}\t{event.aggregate_version}\t{event.position}\t"
            f"\\\\x{salt.hex()}\t\\\\x{entry.hex()}\n"
        )


def _enter_heads(connection: Connection, root: Tree, moved: Sequence[Tree], base: str) -> None:
    """Make the trees' new heads leaves of the root tree."""
    begin, rows, hashes = root.size, [], []
    for tree in moved:
        head = Checkpoint(origin_of(base, tree.tree), tree.size, tree.frontier.root())
        salt = os.urandom(SALT_BYTES)
        entry = heads.encode(Head(tree.label, heads.head_digest(salt, checkpoints.encode(head))))
        rows.append((root.size, tree.tree, head.origin, head.size, head.root, salt, entry))
        hashes.append(leaf_hash(entry))
        root.frontier.append(hashes[-1])
    write_tiles(connection, ROOT, begin, hashes)
    # In one statement: a hundred organisations are at work in one round.
    connection.execute(
        "INSERT INTO sealed_head (leaf_index, tree, origin, size, root, salt, entry) SELECT * FROM "
        "unnest(%b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[])",
        [list(column) for column in zip(*rows, strict=True)],
        prepare=True,
    )


def _keep(connection: Connection, trees: Iterable[Tree]) -> None:
    kept = list(trees)
    lock_trees(connection, [tree.tree for tree in kept])
    connection.execute(
        "UPDATE sealed_tree t SET size = w.size, frontier = w.frontier "
        "FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[]) AS w (tree, size, frontier) WHERE t.tree = w.tree",
        (
            [tree.tree for tree in kept],
            [tree.size for tree in kept],
            [b"".join(tree.frontier.hashes) for tree in kept],
        ),
    )
