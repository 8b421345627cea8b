"""Reading again what was sealed, for the signer: the hashes of leaves as they follow from what these stand for now.

Twice over, independently. PostgreSQL makes the leaves of events that are stored in the plain form, which nearly all
are, compares them with what was sealed, and hands out hashes alone: that takes a tenth of Python's time. What it does
not find to agree, for whatever reason, is read and made again here, one by one, and that decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from psycopg.errors import DataError, QueryCanceled, StatementTooComplex

from ledger.store.log import Stored
from ledger.tlog import checkpoints, heads
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.heads import Head
from ledger.tlog.leaves import SALT_BYTES, TYPE
from ledger.tlog.merkle import HASH_BYTES, Frontier, leaf_hash
from projections.sealed.integrating import entry_of
from projections.sealed.trees import INSTALLATION, ROOT, Connection, Tree, fetch, split

CHUNK_LEAVES = 2_000  # read at once: a megabyte or two
DEPTH_MAX = 500  # of brackets in an event that PostgreSQL reads: of nearly a thousand in each other Python reads none


class Changed(Exception):
    """A leaf is not what was recorded."""

    def __init__(self, tree: UUID, index: int) -> None:
        super().__init__(f"leaf {index} is not what was recorded")
        self.tree = tree


@dataclass(frozen=True, slots=True)
class Growth:
    """Leaves of a tree that come after `edge`, up to `end`."""

    tree: UUID
    edge: Frontier
    end: int


def grow_again(connection: Connection, trees: Sequence[Tree], edges: Sequence[Frontier]) -> None:
    """Have each edge grow to the size of its tree, by leaves that are made anew of what they stand for.

    Raises `Changed` for the first that is not as it was sealed; where the last leaves are missing, an edge stays short.
    """
    for growths in _growths(trees, edges):
        agreed = agreed_hashes(connection, [one for one in growths if one.tree != ROOT])
        for one in growths:
            if one.tree in agreed:
                one.edge.extend(agreed[one.tree])
        for one, leaves in _read_again(connection, [one for one in growths if one.tree not in agreed]):
            for index, (leaf_index, kept, entry) in enumerate(leaves, one.edge.size):
                if leaf_index != index or kept != entry:
                    raise Changed(one.tree, index)
            one.edge.extend([leaf_hash(entry) for _, _, entry in leaves])


def _growths(trees: Sequence[Tree], edges: Sequence[Frontier]) -> Iterator[list[Growth]]:
    """What is to be read again, in the order of the trees, and no more at once than `CHUNK_LEAVES`."""
    some, room = list[Growth](), CHUNK_LEAVES
    for tree, edge in zip(trees, edges, strict=True):
        begin = edge.size
        while begin < tree.size:
            end = min(tree.size, begin + room)
            some.append(Growth(tree.tree, edge, end))
            begin, room = end, room - (end - begin)
            if room == 0:
                yield some
                some, room = [], CHUNK_LEAVES
    if some:
        yield some


# --- by PostgreSQL ---------------------------------------------------------------------------------------------------

# Leaves with their events. By the limit the planner sees that few leaves are wanted, whatever it believes of the table.
_LEAVES = """
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS w (tree, first, after)
CROSS JOIN LATERAL (
    SELECT * FROM sealed_leaf WHERE tree = w.tree AND leaf_index >= w.first AND leaf_index < w.after
    ORDER BY leaf_index LIMIT w.after - w.first
) AS l
LEFT JOIN ledger_events e ON e.originator_id = l.aggregate_id AND e.originator_version = l.aggregate_version
AND e.notification_id = l.position
"""

# The plain form: the event's bytes begin with its context and the time in it, which has microseconds and is in UTC. No
# other key may be taken for these two, so their names stand nowhere else, nor anything by which JSON spells a letter in
# another way; nor is it nested deeper than Python reads. So what is read here is what `integrating.entry_of` reads,
# which a test tries with events that are drawn.
# Types are told wherever they are not plain: then PostgreSQL's own functions fit best, whatever others the schema has.
_AGREED = f"""
SELECT l.tree, count(*) FILTER (WHERE
    octet_length(l.salt) = {SALT_BYTES}
    AND octet_length(e.topic) = char_length(e.topic)
    AND substr(e.state, 1, 18) = '{{"context":{{"at":"'::bytea
    AND translate(s.at, '0123456789', '0000000000') = '0000-00-00T00:00:00.000000Z'
    AND substr(s.rest, 1, 1) = '"'::bytea
    AND position('"context"'::bytea IN s.rest) = 0
    AND position('"at"'::bytea IN s.rest) = 0
    AND position('\\\\u'::bytea IN s.rest) = 0
    AND (
        octet_length(e.state) < {2 * DEPTH_MAX}
        OR char_length(convert_from(e.state, 'UTF8'::name))
            - char_length(translate(convert_from(e.state, 'UTF8'::name), '[{{', '')) < {DEPTH_MAX}
    )
    AND convert_from(e.state, 'UTF8'::name)::json IS NOT NULL
    AND l.entry = convert_to(
        '{{"aggregate":"' || e.originator_id::text
        || '","at":"' || s.at
        || '","digest":"' || encode(sha256(l.salt || e.state), 'hex')
        || '","organisation":"' || coalesce(e.organisation_id::text, '{INSTALLATION}')
        || '","topic":"' || e.topic
        || '","type":"{TYPE}","version":"' || e.originator_version::text || '"}}',
        'UTF8'::name
    )
), string_agg(sha256('\\x00'::bytea || l.entry), ''::bytea ORDER BY l.leaf_index)
{_LEAVES}
CROSS JOIN LATERAL (SELECT encode(substr(e.state, 19, 27), 'escape') AS at, substr(e.state, 46) AS rest) AS s
GROUP BY l.tree
"""


def agreed_hashes(connection: Connection, growths: Sequence[Growth]) -> dict[UUID, list[bytes]]:
    """The hashes of those leaves which PostgreSQL, too, finds to be what their events give: all of a growth's or none.

    What it cannot read as JSON, or not in the time that a statement has, ends its statement, and then there are none at
    all. Not for within a transaction, which that would end, too.
    """
    if not growths:
        return {}
    try:
        rows = fetch(connection, _AGREED, _wanted(growths))
    except (DataError, StatementTooComplex, QueryCanceled):
        return {}
    wanted = {one.tree: one.end - one.edge.size for one in growths}
    return {
        tree: split(hashes)
        for tree, agreeing, hashes in rows
        if agreeing == wanted[tree] and len(hashes) == agreeing * HASH_BYTES
    }


def _wanted(growths: Sequence[Growth]) -> tuple[list[UUID], list[int], list[int]]:
    """What `_LEAVES` takes."""
    return [one.tree for one in growths], [one.edge.size for one in growths], [one.end for one in growths]


# --- one by one ------------------------------------------------------------------------------------------------------

Again = tuple[int, bytes, bytes]
"""A leaf read again: its index, the entry as the tree has it, and as it follows from what it stands for now."""


def _read_again(connection: Connection, growths: Sequence[Growth]) -> Iterator[tuple[Growth, list[Again]]]:
    """The leaves of each of these, by which its edge is then to grow."""
    leaves = _leaves_again(connection, [one for one in growths if one.tree != ROOT])
    for one in growths:
        yield one, _heads_again(connection, one) if one.tree == ROOT else leaves[one.tree]


def _leaves_again(connection: Connection, growths: Sequence[Growth]) -> Mapping[UUID, list[Again]]:
    """Of organisations' trees: entries as they follow from the events."""
    leaves: dict[UUID, list[Again]] = {one.tree: [] for one in growths}
    if not growths:
        return leaves
    for tree, index, salt, entry, *event in fetch(
        connection,
        "SELECT l.tree, l.leaf_index, l.salt, l.entry, "
        "e.notification_id, e.originator_id::text, e.originator_version, e.organisation_id::text, e.topic, e.state "
        f"{_LEAVES} ORDER BY l.tree, l.leaf_index",
        _wanted(growths),
    ):
        leaves[tree].append((index, entry, b"" if event[0] is None else _entry_now(Stored(*event), salt)))
    return leaves


def _entry_now(event: Stored, salt: bytes) -> bytes:
    """What the event would be sealed as now; nothing where it is no event any more."""
    try:
        return entry_of(event, salt)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b""


def _heads_again(connection: Connection, growth: Growth) -> list[Again]:
    """Of the root tree: entries as they follow from the heads that they were made of."""
    leaves = list[Again]()
    for index, entry, salt, origin, size, root, label in fetch(
        connection,
        "SELECT h.leaf_index, h.entry, h.salt, h.origin, h.size, h.root, t.label FROM sealed_head h "
        "LEFT JOIN sealed_tree t ON t.tree = h.tree "
        "WHERE h.leaf_index >= %s AND h.leaf_index < %s ORDER BY h.leaf_index",
        (growth.edge.size, growth.end),
    ):
        digest = heads.head_digest(salt, checkpoints.encode(Checkpoint(origin, size, root)))
        leaves.append((index, entry, heads.encode(Head(label, digest))))
    return leaves
